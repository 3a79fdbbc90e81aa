export default function P() { return <main id="content" class="page"><h1>services</h1></main>; }
