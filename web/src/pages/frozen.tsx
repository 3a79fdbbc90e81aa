export default function P() { return <main id="content" class="page"><h1>frozen</h1></main>; }
