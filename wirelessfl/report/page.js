// Draws what stands in the page's two blocks of JSON. No network, no state: what a reader turns is drawn again.
"use strict";
(function () {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const charts = read("charts"), { tables, stages, states } = read("devices");
  const at = (id) => document.getElementById(id);
  const touched = window.matchMedia("(pointer: coarse)").matches;      // there, a drag turns the page, and buttons zoom
  const config = { displaylogo: false, responsive: true, displayModeBar: touched ? true : "hover",
    modeBarButtons: [[...(touched ? [] : ["zoom2d", "pan2d"]), "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]] };
  const page = document.documentElement, dark = window.matchMedia("screen and (prefers-color-scheme: dark)");

  function themed(layout) {
    const of = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = { gridcolor: of("--line"), linecolor: of("--soft"), zerolinecolor: of("--line"), automargin: true };
    const whole = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 52, r: 12, t: 30, b: 48 },
      font: { color: of("--ink"), size: 12, family: getComputedStyle(document.body).fontFamily },
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, traceorder: "normal" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: of("--soft"), activecolor: of("--link") }, barmode: "stack", hovermode: "closest",
      hoverlabel: { font: { family: getComputedStyle(document.body).fontFamily } },
      dragmode: touched ? false : "zoom", ...layout };
    whole.xaxis = { ...axis, ...layout.xaxis };
    whole.yaxis = { ...axis, ...layout.yaxis };
    return whole;
  }

  function draw(id, data, layout) {
    const height = layout.height;
    if (height) at(id).style.height = `${height}px`;
    const paper = page.classList.contains("paper") ? { width: at(id).clientWidth } : {};
    return Plotly.react(id, data, { ...themed(layout), ...paper }, config);
  }

  function fill(select, names, change) {
    names.forEach((name, number) => select.add(new Option(name, number)));
    select.addEventListener("change", change);
  }

  // One round: a bar a device, its stages one after another, and what it waits for the others.
  function rowsOf(table, round) {
    const c = table.columns, rows = [];
    c.round.forEach((each, i) => { if (each === round) rows.push(i); });
    return rows.sort((i, j) => c.took[i] - c.took[j]);
  }

  function length(table, round) {
    return rowsOf(table, round).reduce((longest, i) => Math.max(longest, table.columns.took[i]), 0);
  }

  const MOST = 60;                                    // bars that are legible below one another

  function gantt() {
    const table = tables[Number(at("round-who").value)], slider = at("round-number"), c = table.columns;
    slider.max = table.rounds.length - 1;
    const number = Math.min(Number(slider.value), table.rounds.length - 1), round = table.rounds[number];
    at("round-told").textContent = `${round} of ${table.all}`;
    slider.setAttribute("aria-valuetext", `round ${round}`);
    if (!table.staged) {
      at("round-words").textContent = "This run was made before tables said where the time of a device went.";
      return;
    }
    const all = rowsOf(table, round), rows = all.slice(-MOST), end = length(table, round);
    const names = rows.map((i) => `device ${c.device[i]}` + (c.state[i] ? `, ${states[c.state[i]]}` : ""));
    const about = rows.map((i) => `${c.split[i]} blocks, pruned ${(100 * c.pruned[i]).toFixed(0)} %, ${c.band[i].toPrecision(3)} MHz`);
    const hatch = { fgcolor: "#ffffff", fillmode: "overlay", solidity: 0.25 };
    const traces = stages.map((stage) => ({ type: "bar", orientation: "h", name: stage.name, y: names,
      x: rows.map((i) => c[stage.name][i]), customdata: about,
      marker: { color: stage.colour, pattern: { shape: stage.pattern, ...hatch } }, hovertemplate: "%{x:.4g} ms<br>%{customdata}" }));
    traces.push({ type: "bar", orientation: "h", name: "waits", y: names, x: rows.map((i) => (c.took[i] > 0 ? end - c.took[i] : 0)),
      marker: { color: "rgba(128,128,128,0.22)" }, hovertemplate: "%{x:.4g} ms" });
    const last = all[all.length - 1], ran = all.filter((i) => c.took[i] > 0);
    const waited = ran.reduce((sum, i) => sum + end - c.took[i], 0) / Math.max(ran.length, 1);
    at("round-words").textContent = ran.length === 0 ? `Round ${round}, seed ${table.seed}: nobody took part.` :
      `Round ${round}, seed ${table.seed}, took ${end.toPrecision(3)} ms. ` +
      (waited < 0.005 * end ? "All were through at about the same time, among them " : "The last one through was ") +
      `${names[names.length - 1]}: ${stages.map((s) => `${s.name} ${c[s.name][last].toPrecision(3)} ms`).join(", ")}.` +
      (waited < 0.005 * end ? "" : ` On average a device waited ${waited.toPrecision(3)} ms for the others.`);
    at("round-caption").textContent = all.length > rows.length ?
      `The ${rows.length} of ${all.length} devices that took longest` : "Time of each device";
    draw("gantt", traces, { height: 130 + 26 * rows.length, barmode: "stack", bargap: 0.25,
      xaxis: { title: { text: "time in the round [ms]" }, rangemode: "tozero" }, yaxis: { type: "category" } });
  }

  // What was given, against the gain: one dot a device and round.
  const GIVEN = [["band", "bandwidth [MHz]"], ["power", "transmit power [mW]"], ["pruned", "pruning ratio [1]"],
    ["split", "blocks on the device"]];

  function given() {
    const table = tables[Number(at("given-who").value)], c = table.columns;
    const there = c.device.map((_, i) => i).filter((i) => c.split[i] > 0), of = (name) => there.map((i) => c[name][i]);
    const speeds = of("speed"), ends = speeds.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, 0]);
    const few = table.rounds.length < table.all ? ` (${table.rounds.length} of ${table.all} rounds, evenly spread)` : "";
    at("given-words").textContent = `${there.length} dots, seed ${table.seed}${few}` +
      (there.length ? `; devices compute ${ends.map((v) => v.toPrecision(2)).join(" to ")} GFLOP/s.` : ": nobody took part.");
    GIVEN.forEach(([name, title]) => {
      draw(`given-${name}`, [{ type: "scatter", mode: "markers", x: of("gain"), y: of(name),
        text: there.map((i) => `device ${c.device[i]}, round ${c.round[i]}`), customdata: speeds, hovertemplate: "%{text}<br>%{x:.1f} dB: %{y:.4g}<br>%{customdata:.3g} GFLOP/s<extra></extra>",
        marker: { size: 6, opacity: 0.7, color: speeds.map(Math.log10), colorscale: "Viridis" } }],
      { height: 300, showlegend: false, xaxis: { title: { text: "channel gain [dB]" } },
        yaxis: { title: { text: title }, rangemode: "tozero", ...(name === "split" ? { dtick: 1 } : {}) } });
    });
  }

  function everything() {
    charts.forEach((c) => draw(c.name, c.data, { ...c.layout, uirevision: c.name }));      // zoomed as it was
    if (tables.length) { gantt(); given(); }
  }

  if (tables.length) {
    fill(at("round-who"), tables.map((t) => t.name), gantt);
    fill(at("given-who"), tables.map((t) => t.name), given);
    at("round-number").addEventListener("input", gantt);
    at("round-slowest").addEventListener("click", () => {
      const table = tables[Number(at("round-who").value)];
      const lengths = table.rounds.map((round) => length(table, round));
      at("round-number").value = lengths.indexOf(Math.max(...lengths));
      gantt();
    });
  }
  everything();
  dark.addEventListener("change", everything);
  window.addEventListener("beforeprint", () => { page.classList.add("paper"); everything(); });       // light, and as wide as a sheet
  window.addEventListener("afterprint", () => {
    page.classList.remove("paper");
    everything();
    document.querySelectorAll(".js-plotly-plot").forEach((plot) => Plotly.Plots.resize(plot));
  });
  page.dataset.drawn = "yes";
})();
