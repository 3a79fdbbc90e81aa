// How many stand in each state, each a link to the list of them.

import { formatAddress } from "../address/address.ts";
import { withTerm } from "../address/filter.ts";
import type { StateCount } from "../api/documents.ts";
import { address } from "../state/app.ts";
import { StateMark } from "./state-mark.tsx";
import { count } from "./words.ts";

export function Counts({ counts }: { counts: StateCount[] }) {
  return (
    <ul class="row" aria-label="By state">
      {counts.map((each) => (
        <li key={each.state}>
          <a
            class="button"
            href={formatAddress({
              ...address.value,
              page: "deployments",
              about: [],
              filter: withTerm(address.value.filter, "st", each.state),
              others: [],
            })}
          >
            {count(each.count)} <StateMark state={each.state} />
          </a>
        </li>
      ))}
    </ul>
  );
}
