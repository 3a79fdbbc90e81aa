export default function P() { return <main id="content" class="page"><h1>audit</h1></main>; }
