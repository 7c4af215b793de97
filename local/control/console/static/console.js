// Charts that can be zoomed, in the place of the drawn ones, and kept up to date; the pages say all without it.
"use strict";
const charts = new Map();
function draw(figure, points) {
  const place = figure.querySelector(".chart");
  const data = [points.map((p) => p[0]), points.map((p) => p[1])];
  const known = charts.get(figure);
  if (known) { known.setData(data); return; }
  const color = getComputedStyle(document.documentElement).getPropertyValue("--accent");
  const ink = getComputedStyle(document.body).color;
  place.replaceChildren();
  const axis = { stroke: ink, grid: { stroke: "#8883" }, ticks: { stroke: "#8883" } };
  const chart = new uPlot({
    width: place.clientWidth, height: 150, legend: { show: false },
    series: [{}, { stroke: color.trim(), width: 1.5, points: { show: points.length < 40 } }],
    axes: [axis, { ...axis, size: 56 }],
  }, data, place);
  charts.set(figure, chart);
  new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: 150 })).observe(place);
}
function update(all) {
  for (const [name, points] of Object.entries(all)) {
    const figure = document.querySelector(`figure[data-metric="${CSS.escape(name)}"]`);
    if (!figure) { location.reload(); return; }
    figure.querySelector("output").textContent = Number(points.at(-1)[1].toPrecision(6));
    draw(figure, points);
  }
}
addEventListener("DOMContentLoaded", () => {
  const source = document.getElementById("values");
  if (source) update(JSON.parse(source.textContent));
  document.body.addEventListener("htmx:sseBeforeMessage", (event) => {
    if (event.detail.type === "values") { event.preventDefault(); update(JSON.parse(event.detail.data)); }
  });
  document.body.addEventListener("htmx:sseMessage", (event) => {
    if (event.detail.type === "ended") location.reload();
  });
});
