// All services with what was deployed last in each environment, and the measures over all of them.

import type { Services } from "../api/documents.ts";
import { AllMissing, Empty } from "../parts/empty.tsx";
import { To, ToDeployment } from "../parts/link.tsx";
import { Measures } from "../parts/measures.tsx";
import { PageFrame } from "../parts/page.tsx";
import { Pager } from "../parts/pager.tsx";
import { StateMark } from "../parts/state-mark.tsx";
import { Table } from "../parts/table.tsx";
import { Version } from "../parts/version.tsx";
import { When } from "../parts/when.tsx";
import { counted } from "../parts/words.ts";
import { address } from "../state/app.ts";

export default function ServicesPage({ document: shown }: { document: Services }) {
  return (
    <PageFrame title="Services" note={counted(shown.total, "service")}>
      <section class="panel" aria-label="Services">
        {shown.items.length === 0 ? (
          <Empty>
            {address.value.filter
              ? "No service has a deployment that the filter lets through."
              : "No service has been deployed yet: `deploymark mark` or a pipeline says the first deployment."}
          </Empty>
        ) : (
          <Table>
            <thead>
              <tr>
                <th scope="col">Service</th>
                <th scope="col">State</th>
                <th scope="col">Owner</th>
                <th scope="col">Newest in each environment</th>
              </tr>
            </thead>
            <tbody>
              {shown.items.map((line) => (
                <tr key={line.service}>
                  <th scope="row">
                    <To page="service" about={[line.service]}>
                      <strong>{line.service}</strong>
                    </To>
                  </th>
                  <td>
                    <StateMark state={line.state} />
                  </td>
                  <td>{line.owner ?? "–"}</td>
                  <td>
                    <ul class="row">
                      {line.newest.map((chip) => (
                        <li key={chip.id} class="nowrap">
                          {chip.environment}{" "}
                          <ToDeployment id={chip.id}>
                            <Version of={chip.version} />
                          </ToDeployment>{" "}
                          <StateMark state={chip.state} />{" "}
                          <span class="calm small">
                            <When at={chip.at} />
                          </span>
                        </li>
                      ))}
                    </ul>
                  </td>
                </tr>
              ))}
            </tbody>
          </Table>
        )}
        <Pager shown={shown.items.length} total={shown.total} cursor={shown.next_cursor} />
      </section>
      <Measures
        measures={shown.measures}
        missing={shown.missing}
        title="How deployments go, all services together"
      />
      <AllMissing missing={shown.missing} told={["measures"]} />
    </PageFrame>
  );
}
