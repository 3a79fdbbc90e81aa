export default function P() { return <main id="content" class="page"><h1>deployments</h1></main>; }
