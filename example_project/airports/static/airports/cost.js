// What this page cost is in a header and not in the page, which may be older than the request.
const [navigation] = performance.getEntriesByType("navigation");
const timing = new Map(navigation?.serverTiming.map((entry) => [entry.name, entry]));
if (timing.has("db")) {
  const { description: queries } = timing.get("db");
  const { duration } = timing.get("total");
  document.getElementById("cost").textContent =
    `This page took ${queries} database ${queries === "1" ? "query" : "queries"} and ${duration} ms.`;
}
