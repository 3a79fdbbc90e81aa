export default function P() { return <main id="content" class="page"><h1>compare</h1></main>; }
