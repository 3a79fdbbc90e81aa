// A version in a list: at most as long as leaves room for what stands beside it, whole for whoever
// hovers. The deployment's own page shows it whole.

const ROOM = 28;

export function Version({ of }: { of: string | null }) {
  const text = of ?? "";
  return (
    <span class="mono version" title={text.length > ROOM ? text : undefined}>
      {text}
    </span>
  );
}
