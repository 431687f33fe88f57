"use strict";
// Draws the figures of a report: reads the numbers that the page carries, unpacks the chart library that lies beside
// them, and hands both to each other. Nothing is fetched.
(() => {
  const page = JSON.parse(document.getElementById("numbers").textContent);
  const nonce = document.currentScript.nonce;
  const boxes = new Map([...document.querySelectorAll("[data-chart]")].map((box) => [box.dataset.chart, box]));
  const hidden = new Set();
  const stale = new Set();
  const near = new Set();
  const touch = window.matchMedia("(pointer: coarse)").matches;
  let printing = false;

  // Theme ------------------------------------------------------------------------------------------------------------

  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const THEMES = ["auto", "light", "dark"];

  function remembered() {
    try { return localStorage.getItem("neurosal-theme"); } catch { return null; }
  }

  function setTheme(theme) {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
    try { localStorage.setItem("neurosal-theme", theme); } catch { /* a file may have no storage */ }
    document.getElementById("theme").textContent = `Theme: ${theme}`;
    redraw();
  }

  const theme = () => root.dataset.theme || "auto";
  const dark = () => !printing && (theme() === "dark" || (theme() === "auto" && system.matches));
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  function colour(arm) {
    const palette = page.colours[dark() ? "dark" : "light"];
    return palette[arm % palette.length];
  }

  const dashes = (arm) => page.dashes[Math.floor(arm / page.colours.light.length) % page.dashes.length];
  const faded = (hex, alpha) => `rgba(${[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).join(",")},${alpha})`;

  // Text that users wrote stands in hover labels and axes: the chart library reads a little HTML there.
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

  // Charts -----------------------------------------------------------------------------------------------------------

  function axis(fields, more) {
    return {
      title: { text: plain(fields.label), font: { size: 12 }, standoff: 8 }, type: fields.log ? "log" : undefined, exponentformat: "power",
      gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--line"), automargin: true,
      tickfont: { size: 11 }, fixedrange: touch, ...more,
    };
  }

  function common(box) {
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, autosize: true,
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: css("--text") },
      margin: { l: 48, r: 12, t: 8, b: 40 }, height: box.clientHeight, dragmode: touch ? false : "zoom",
      hoverlabel: { bgcolor: css("--card"), bordercolor: css("--quiet"), font: { color: css("--text"), size: 12 }, align: "left", namelength: 40 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--quiet"), activecolor: css("--accent") },
    };
  }

  function band(line, shade, log) {
    const edge = { x: line.x, mode: "lines", line: { width: 0 }, hoverinfo: "skip", type: "scatter" };
    // A logarithmic axis has no place for what reaches below zero.
    const low = log ? line.low.map((value, at) => (value > 0 ? value : line.y[at] > 0 ? line.y[at] / 2 : null)) : line.low;
    return [
      { ...edge, y: low },
      { ...edge, y: line.high, fill: "tonexty", fillcolor: faded(shade, 0.15) },
    ];
  }

  function lines(chart, box) {
    const traces = [];
    const shown = chart.lines.filter((line) => !hidden.has(line.arm));
    for (const held of shown) {
      const line = { x: chart.along, ...held };
      const shade = colour(line.arm);
      if (line.low) traces.push(...band(line, shade, chart.y.log));
      else if (line.least) traces.push(...band({ ...line, low: line.least, high: line.most }, shade, chart.y.log));
      const spread = line.low ? line.y.map((y, at) => (y === null ? "" : ` ± ${number(line.high[at] - y)}`)) : undefined;
      const range = line.least ? line.y.map((_, at) => ` (${number(line.least[at])} to ${number(line.most[at])})`) : undefined;
      const more = line.y.map((_, at) => (spread ? spread[at] : "") + (range ? range[at] : ""));
      traces.push({
        type: "scatter", mode: line.x.length <= 6 ? "lines+markers" : "lines", x: line.x, y: line.y, name: plain(line.name),
        text: more, hovertemplate: "%{y:.5~g}%{text}", opacity: line.faint ? 0.45 : 1, connectgaps: true,
        line: { color: shade, width: line.faint ? 1.2 : 1.9, dash: line.faint ? "dot" : dashes(line.arm) }, marker: { size: 5 },
      });
    }
    const shapes = (chart.levels || []).map((level) => ({
      type: "line", xref: "paper", x0: 0, x1: 1, y0: level.y, y1: level.y, line: { color: css("--quiet"), width: 1, dash: "dot" }, layer: "below",
    }));
    if (chart.chance) shapes.push({
      type: "rect", xref: "paper", x0: 0, x1: 1, y0: chart.chance[0], y1: chart.chance[1], fillcolor: faded("#888888", 0.22), line: { width: 0 }, layer: "below",
    });
    const annotations = (chart.levels || []).map((level) => ({
      xref: "paper", x: 1, xanchor: "right", y: chart.y.log ? Math.log10(level.y) : level.y, yanchor: "bottom", text: plain(level.label), showarrow: false,
      font: { size: 10, color: css("--quiet") },
    }));
    for (const mark of chart.marks || []) {
      shapes.push({ type: "line", yref: "paper", y0: 0, y1: 1, x0: mark.x, x1: mark.x, line: { color: css("--quiet"), width: 1, dash: "dash" }, layer: "below" });
      annotations.push({ x: mark.x, xanchor: "left", yref: "paper", y: 1, yanchor: "bottom", text: plain(short(mark.label, 12)), showarrow: false, font: { size: 10, color: css("--quiet") }, textangle: 0 });
    }
    // A label of fifteen lines covers a small panel: there only the line that is pointed at speaks.
    const unified = shown.length <= 8;
    const layout = {
      ...common(box), shapes, annotations, margin: { l: 48, r: 12, t: chart.marks ? 20 : 8, b: 40 }, hovermode: unified ? "x unified" : "closest", hoverdistance: unified ? -1 : 40,
      xaxis: axis(chart.x, { hoverformat: ".5~g", zeroline: false }), yaxis: axis(chart.y, { zeroline: false }),
    };
    if (!unified) for (const trace of traces) if (trace.hovertemplate) trace.hovertemplate = `<b>${trace.name}</b><br>${plain(chart.x.label)} %{x:.5~g}: %{y:.5~g}%{text}<extra></extra>`;
    if (chart.y.log) {
      const known = shown.flatMap((line) => line.y).filter((value) => value > 0);
      if (Math.max(...known) > 30 * Math.min(...known)) layout.yaxis.dtick = 1; // decades alone: less crowded
    }
    if (chart.y.low !== undefined && chart.y.high !== undefined) layout.yaxis.range = [chart.y.low, chart.y.high];
    return { traces, layout };
  }

  function points(chart, box) {
    const shown = chart.points.filter((point) => !hidden.has(point.arm));
    const wide = box.clientWidth > 560;
    const names = shown.map((point) => plain(short(point.name, wide ? 44 : 20)));
    const rows = shown.map((_, at) => at);
    const traces = [{
      type: "scatter", mode: "markers", x: shown.flatMap((point) => point.values), y: rows.flatMap((row) => shown[row].values.map(() => row)),
      text: shown.flatMap((point) => point.seeds.map((seed) => `${plain(point.name)}, seed ${seed}`)), hovertemplate: "%{text}: %{x:.5~g}<extra></extra>",
      marker: { size: 6, symbol: "circle-open", color: rows.flatMap((row) => shown[row].values.map(() => colour(shown[row].arm))), opacity: 0.75 },
    }, {
      type: "scatter", mode: "markers", x: shown.map((point) => point.mean), y: rows, marker: { size: 10, symbol: "diamond", color: shown.map((point) => colour(point.arm)) },
      error_x: { type: "data", symmetric: false, array: shown.map((p) => p.high - p.mean), arrayminus: shown.map((p) => p.mean - p.low), color: css("--quiet"), thickness: 1.4, width: 4 },
      text: shown.map((p) => `<b>${plain(p.name)}</b><br>${number(p.mean)} (${number(p.low)} to ${number(p.high)})`), hovertemplate: "%{text}<extra></extra>",
    }];
    const layout = {
      ...common(box), hovermode: "closest", height: 70 + 26 * Math.max(shown.length, 2), xaxis: axis(chart.x, { zeroline: false }),
      yaxis: axis({ label: "" }, { tickvals: rows, ticktext: names, autorange: "reversed", zeroline: false, showgrid: true }),
    };
    return { traces, layout };
  }

  // Perceptually even and told apart without colour vision: cividis; for values about a middle, blue to orange.
  const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55", "#fee838"].map((hex, at) => [at / 9, hex]);

  function diverging() {
    const paper = dark() ? "#2a3038" : "#f2f2f2";
    return [[0, dark() ? "#4ba3e3" : "#0072b2"], [0.5, paper], [1, dark() ? "#f0803c" : "#d55e00"]];
  }

  function heatmap(chart, box) {
    const kept = chart.rows.map((_, at) => at).filter((at) => !hidden.has(chart.arms ? chart.arms[at] : chart.arm));
    const most = box.clientWidth > 560 ? 40 : 18;
    const z = kept.map((at) => chart.values[at]);
    const texts = typeof chart.columns[0] === "string";
    const columns = texts ? chart.columns.map((_, at) => at) : chart.columns;
    const name = kept.map((at) => chart.columns.map(() => plain(chart.rows[at])));
    const known = z.flat().filter((value) => value !== null);
    let [low, high] = [chart.colour.low ?? Math.min(...known), chart.colour.high ?? Math.max(...known)];
    if (chart.middle !== undefined && chart.colour.high === undefined) {
      const reach = Math.max(Math.abs(low - chart.middle), Math.abs(high - chart.middle)) || 1;
      [low, high] = [chart.middle - reach, chart.middle + reach];
    }
    const where = texts ? "%{text}" : `%{text}<br>${plain(chart.x.label)} %{x:.5~g}`;
    const text = texts ? z.map((row, r) => row.map((_, c) => `<b>${name[r][c]}</b><br>${plain(chart.columns[c])}`)) : name;
    const traces = [{
      type: "heatmap", z, x: texts ? columns : columns.map((_, at) => at), y: kept.map((_, at) => at), text, hoverongaps: false, zmin: low, zmax: high,
      customdata: texts ? undefined : z.map(() => columns), xgap: box.clientWidth > 24 * columns.length ? 1 : 0, ygap: 1,
      hovertemplate: texts ? `${where}<br>${plain(chart.colour.label)} %{z:.5~g}<extra></extra>` : `<b>%{text}</b><br>${plain(chart.x.label)} %{customdata:.5~g}<br>${plain(chart.colour.label)} %{z:.5~g}<extra></extra>`,
      colorscale: chart.middle === undefined ? CIVIDIS : diverging(),
      colorbar: { title: { text: plain(chart.colour.label), side: "right", font: { size: 11 } }, thickness: 10, outlinewidth: 0, tickfont: { size: 10 } },
    }];
    // Columns are spaced evenly whatever steps they stand for: a logarithmic or uneven schedule leaves no slivers.
    const every = Math.max(1, Math.ceil(columns.length / (box.clientWidth > 560 ? 10 : 5)));
    const ticks = columns.map((_, at) => at).filter((at) => at === columns.length - 1 || (at % every === 0 && at + every / 2 < columns.length - 1));
    const labels = ticks.map((at) => (texts ? plain(short(chart.columns[at], 14)) : number(columns[at], 3)));
    const height = Math.max(170, Math.min(620, 84 + kept.length * (kept.length > 24 ? 17 : 22)));
    const layout = {
      ...common(box), hovermode: "closest", height, xaxis: axis(chart.x, { tickvals: ticks, ticktext: labels, tickangle: texts ? undefined : 0, showgrid: false, zeroline: false }),
      yaxis: axis({ label: chart.y || "" }, { tickvals: kept.map((_, at) => at), ticktext: kept.map((at) => plain(short(chart.rows[at], most))), autorange: "reversed", showgrid: false, zeroline: false }),
    };
    if (kept.length > 34) { delete layout.yaxis.tickvals; delete layout.yaxis.ticktext; layout.yaxis.nticks = 10; }
    if (chart.written) {
      layout.annotations = z.flatMap((row, r) => row.map((value, c) => ({
        x: c, y: r, text: value === null ? "" : Math.abs(value) >= 10 ? value.toFixed(0) : number(value, 2), showarrow: false,
        font: { size: 11, color: (value - low) / (high - low || 1) > 0.6 ? "#111" : "#fff" },
      })));
    }
    return { traces, layout };
  }

  const KINDS = { lines, points, heatmap };

  function number(value, digits = 4) {
    if (value === null || value === undefined || !Number.isFinite(value)) return "–";
    if (Number.isInteger(value) && Math.abs(value) < 1e9) return value.toLocaleString("en");
    const size = Math.abs(value);
    return size < 1e-3 || size >= 1e6 ? value.toExponential(digits - 2) : String(Number(value.toPrecision(digits)));
  }

  async function draw(chart) {
    const box = boxes.get(chart.name);
    stale.delete(chart.name);
    const { traces, layout } = KINDS[chart.kind](chart, box);
    const config = { responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover", scrollZoom: false,
      modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]], toImageButtonOptions: { format: "svg", filename: chart.name } };
    await window.Plotly.react(box, traces, layout, config);
    box.dataset.drawn = "yes";
  }

  async function work(all) {
    for (const chart of page.charts) if (stale.has(chart.name) && (all || near.has(chart.name))) await draw(chart);
  }

  function redraw() {
    if (!window.Plotly) return undefined;
    for (const chart of page.charts) stale.add(chart.name);
    return work(false);
  }

  // Arms -------------------------------------------------------------------------------------------------------------

  function chips() {
    for (const chip of document.querySelectorAll(".chip")) {
      const arm = Number(chip.dataset.arm);
      const mark = chip.querySelector("i");
      mark.style.borderTopColor = colour(arm);
      mark.style.borderTopStyle = { solid: "solid", dash: "dashed", dot: "dotted", dashdot: "double" }[dashes(arm)];
      chip.setAttribute("aria-pressed", String(!hidden.has(arm)));
    }
  }

  function toggle(arm, alone) {
    const others = page.arms.map((_, at) => at).filter((at) => at !== arm);
    if (alone) {
      const already = !hidden.has(arm) && others.every((at) => hidden.has(at));
      hidden.clear();
      if (!already) others.forEach((at) => hidden.add(at));
    } else if (!hidden.delete(arm)) hidden.add(arm);
    chips();
    redraw();
  }

  // Beginning --------------------------------------------------------------------------------------------------------

  async function library() {
    const held = document.getElementById("library");
    const packed = Uint8Array.from(atob(held.textContent), (letter) => letter.charCodeAt(0));
    held.remove();
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.nonce = nonce;
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }

  function fail(error) {
    for (const box of boxes.values()) box.textContent = "This browser cannot draw the figure; the tables hold its numbers.";
    console.error(error);
  }

  async function begin() {
    setTheme(THEMES.includes(remembered()) ? remembered() : "auto");
    chips();
    document.getElementById("theme").addEventListener("click", () => {
      setTheme(THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]);
      chips();
    });
    system.addEventListener("change", () => { chips(); redraw(); });
    for (const chip of document.querySelectorAll(".chip")) {
      chip.title = "Click: hide or show. Double click: this arm alone.";
      chip.addEventListener("click", (event) => { if (event.detail < 2) toggle(Number(chip.dataset.arm), event.altKey); });
      chip.addEventListener("dblclick", () => { toggle(Number(chip.dataset.arm), false); toggle(Number(chip.dataset.arm), true); });
    }
    if (!page.charts.length) return;
    await library();
    for (const chart of page.charts) stale.add(chart.name);
    const watcher = new IntersectionObserver((entries) => {
      for (const entry of entries) near[entry.isIntersecting ? "add" : "delete"](entry.target.dataset.chart);
      work(false).catch(fail);
    }, { rootMargin: "600px" });
    for (const box of boxes.values()) watcher.observe(box);
    // Paper is white and narrow, whatever the screen is, and the browser waits for nothing that is drawn later.
    let before = "auto";
    window.addEventListener("beforeprint", () => {
      if (printing) return;
      printing = true;
      before = theme();
      root.dataset.theme = "light";
      root.classList.add("printing");
      for (const chart of page.charts) draw(chart);
    });
    window.addEventListener("afterprint", () => {
      printing = false;
      root.classList.remove("printing");
      setTheme(before);
    });
  }

  window.neurosal = { page, drawAll: () => work(true), toggle, setTheme, ready: begin().catch(fail) };
})();
