export default function P() { return <main id="content" class="page"><h1>deployment</h1></main>; }
