export default function P() { return <main id="content" class="page"><h1>audit_entry</h1></main>; }
