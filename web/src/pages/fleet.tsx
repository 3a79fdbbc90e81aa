export default function P() { return <main id="content" class="page"><h1>fleet</h1></main>; }
