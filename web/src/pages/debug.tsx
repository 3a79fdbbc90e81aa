export default function P() { return <main id="content" class="page"><h1>debug</h1></main>; }
