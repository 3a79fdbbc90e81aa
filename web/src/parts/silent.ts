// The words for a place in which markers of some services are missing. Pure.

interface Place {
  /** Pages that were kept before it was told do not have it. */
  missing_services?: readonly string[];
}

/** `no markers of checkout`; without a name for what names none. */
export function missingMarkers({ missing_services: services = [] }: Place): string {
  return services.length === 0 ? "no markers" : `no markers of ${services.join(", ")}`;
}
