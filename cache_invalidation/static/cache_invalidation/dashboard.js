"use strict";
// Draws the charts from the data on the page. Everything else works without.
{
  const LIVE = 5000; // milliseconds between two updates
  let plots = [];

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // How times are shown: in the zone of the site, unless the browser does not know it.
  function clock(zone) {
    const format = { hour: "2-digit", minute: "2-digit", hour12: false };
    try {
      return new Intl.DateTimeFormat(document.documentElement.lang, { ...format, timeZone: zone });
    } catch {
      return new Intl.DateTimeFormat(document.documentElement.lang, format);
    }
  }

  // Seconds that an axis of durations may have a label for.
  const DURATIONS = [0.0001, 0.001, 0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 86400];

  const shortened = (value) => (+value.toFixed(value < 10 ? 1 : 0)).toLocaleString(document.documentElement.lang);

  function duration(seconds) {
    if (seconds < 1) return `${shortened(seconds * 1000)} ms`;
    if (seconds < 60) return `${shortened(seconds)} s`;
    return seconds < 3600 ? `${shortened(seconds / 60)} min` : `${shortened(seconds / 3600)} h`;
  }

  // At least from zero to one, and a hit rate always up to a hundred.
  const linear = (data) => ({
    range: (_plot, _low, high) => [0, data.unit === "%" ? 100 : Math.max(1, high * 1.1)],
  });

  // From a label to a label, so that there are always two.
  const logarithmic = () => ({
    distr: 3,
    range: (_plot, low, high) => low == null ? [0.001, 1] : [
      DURATIONS.findLast((value) => value < low) ?? DURATIONS[0],
      DURATIONS.find((value) => value > high) ?? DURATIONS.at(-1),
    ],
  });

  function options(data, width) {
    const shown = clock(data.zone);
    const time = (seconds) => shown.format(new Date(seconds * 1000));
    const isDuration = data.unit === "s";
    const inUnit = (value) => shortened(value) + (data.unit && ` ${data.unit}`);
    const number = (value) => value == null ? "–" : isDuration ? duration(value) : inUnit(value);
    const line = { stroke: colour("--hairline-color"), width: 1 };
    const axis = { stroke: colour("--body-fg"), grid: line, ticks: line };
    return {
      width,
      height: 180,
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), shown.resolvedOptions().timeZone),
      scales: { y: isDuration ? logarithmic() : linear(data) },
      axes: [
        { ...axis, values: (_plot, ticks) => ticks.map(time) },
        {
          ...axis,
          // As wide as what is written there: 12 pixels high, with the ticks beside it.
          size: (_plot, labels) => 20 + 7 * Math.max(4, ...(labels ?? []).map((label) => label.length)),
          values: (_plot, ticks) => ticks.map((tick) => tick == null ? "" : number(tick)),
          ...(isDuration && {
            splits: (_plot, _axis, low, high) => DURATIONS.filter((value) => value >= low && value <= high),
            filter: (_plot, ticks) => ticks.map((tick, place) => ticks.length > 6 && place % 2 ? null : tick),
          }),
        },
      ],
      series: [
        { label: data.time, value: (_plot, seconds) => seconds == null ? "–" : time(seconds) },
        ...data.series.map((series, place) => ({
          label: series.label,
          stroke: colour(`--ci-${place % 7 + 1}`),
          // Lines are told apart by more than their colour.
          dash: place ? [2 + 4 * place, 3] : undefined,
          width: 2,
          points: { show: true, size: 4 },
          value: (_plot, value) => number(value),
        })),
      ],
    };
  }

  function draw() {
    for (const plot of plots) plot.destroy();
    plots = [];
    for (const chart of document.querySelectorAll("[data-chart]")) {
      const place = chart.querySelector(".ci-plot");
      const data = JSON.parse(document.getElementById(chart.dataset.chart).textContent);
      const values = [data.times, ...data.series.map((series) => series.values)];
      plots.push(new uPlot(options(data, place.clientWidth), values, place));
    }
  }

  function foldTables() {
    for (const table of document.querySelectorAll("[data-chart] details")) table.open = false;
  }

  async function update() {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    const found = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("ci-dashboard");
    // Whoever is reading a table, or was logged out meanwhile, keeps what is there.
    const open = document.querySelector("[data-chart] details[open]");
    if (!response.ok || !found || open) return;
    document.getElementById("ci-dashboard").replaceChildren(...found.childNodes);
    foldTables();
    draw();
  }

  function watch(live) {
    let timer;
    live.hidden = false;
    live.addEventListener("click", () => {
      const starts = live.getAttribute("aria-pressed") === "false";
      live.setAttribute("aria-pressed", String(starts));
      clearInterval(timer);
      if (starts) {
        update().catch(() => {});
        timer = setInterval(() => update().catch(() => {}), LIVE);
      }
    });
  }

  const live = document.getElementById("ci-live");
  if (live) watch(live);
  foldTables();
  draw();
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}
