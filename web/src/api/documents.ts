// Short names for the shapes of the server's answers. Everything here is made from its OpenAPI
// document (schema.d.ts); nothing is declared by hand.

import type { components } from "./schema";

type Schemas = components["schemas"];

export type Aligned = Schemas["Aligned"];
export type Audit = Schemas["Audit"];
export type AuditEntry = Schemas["AuditEntry"];
export type AuditEntryPage = Schemas["AuditEntryPage"];
export type Boot = Schemas["Boot"];
export type BootProblem = Schemas["BootProblem"];
export type BootSession = Schemas["BootSession"];
export type Canary = Schemas["Canary"];
export type Chip = Schemas["Chip"];
export type Compare = Schemas["Compare"];
export type Debug = Schemas["Debug"];
export type DeploymentPage = Schemas["DeploymentPage"];
export type Deployments = Schemas["Deployments"];
export type EntryLine = Schemas["EntryLine"];
export type ErrorDelta = Schemas["ErrorDelta"];
export type Events = Schemas["Events"];
export type Exec = Schemas["Exec"];
export type FieldDiff = Schemas["FieldDiff"];
export type Figure = Schemas["Figure"];
export type Fleet = Schemas["Fleet"];
export type Frozen = Schemas["Frozen"];
export type KeptView = Schemas["KeptView"];
export type InstanceCounts = Schemas["InstanceCounts"];
export type Lane = Schemas["Lane"];
export type Mark = Schemas["Mark"];
export type Measured = Schemas["Measured"];
export type Missing = Schemas["Missing"];
export type Notice = Schemas["Notice"];
export type Offer = Schemas["ActionOffer"];
export type OnCall = Schemas["OnCall"];
export type Page = Schemas["Page"];
export type Proof = Schemas["Proof"];
export type Rollback = Schemas["Rollback"];
export type Selected = Schemas["Selected"];
export type Series = Schemas["Series"];
export type SeriesSet = Schemas["SeriesSet"];
export type ServiceDelta = Schemas["ServiceDelta"];
export type ServicePage = Schemas["ServicePage"];
export type Services = Schemas["Services"];
export type ShownFilter = Schemas["ShownFilter"];
export type ShownFinding = Schemas["ShownFinding"];
export type StateCount = Schemas["StateCount"];
export type StreamEvent = Schemas["Event"];
export type TimeWindow = Schemas["Window"];
export type TraceLine = Schemas["TraceLine"];

/** What every page's document begins with. */
export interface AnyDocument {
  as_of: number;
  now_at: string;
  missing: Missing[];
  simulated: boolean;
}
