export default function P() { return <main id="content" class="page"><h1>service</h1></main>; }
