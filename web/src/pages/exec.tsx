export default function P() { return <main id="content" class="page"><h1>exec</h1></main>; }
