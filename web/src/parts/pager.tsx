// To the next page of a list, by the server's cursor; and how much of it is shown.

import { formatAddress } from "../address/address.ts";
import { address } from "../state/app.ts";
import { count } from "./words.ts";

export function Pager({
  shown,
  total,
  cursor,
}: {
  shown: number;
  total: number;
  cursor: string | null;
}) {
  const others = address.value.others.filter(([name]) => name !== "cursor");
  const isFirst = others.length === address.value.others.length;
  return (
    <p class="row notice">
      <span class="calm">
        {count(shown)} of {count(total)} shown
      </span>
      {isFirst ? null : (
        <a href={formatAddress({ ...address.value, others })}>From the beginning</a>
      )}
      {cursor === null ? null : (
        <a href={formatAddress({ ...address.value, others: [...others, ["cursor", cursor]] })}>
          Next
        </a>
      )}
    </p>
  );
}
