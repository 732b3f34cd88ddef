/* One panel of a chart: holds its figure, draws it with Plotly in the page's colours, grows by points.
   The y axis of a figure with `frame` ("every" or "best" of shares, or "losses") follows what the curves have come to
   (frame.js) unless a person zooms; a double click that finds no zoom shows all of it. */

import { withColors } from "./colors.js";
import { aboveFrame, belowFrame, frameOf, lossFrame, wholeFrame } from "./frame.js";
import { loadPlotly } from "./plotly.js";
import { dropAfter, putPoint } from "./series.js";

const DRAW_AT_MOST_EVERY_MS = 200;
const CONFIG = {
  displaylogo: false,
  responsive: true,
  displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
  doubleClick: "reset",
};
const FRAMED_CONFIG = {
  ...CONFIG,
  modeBarButtonsToRemove: [...CONFIG.modeBarButtonsToRemove, "resetScale2d"], // it knows the first range only
  doubleClick: false, // ours
};
const AXIS = { gridcolor: "var(--line)", linecolor: "var(--line-strong)", zerolinecolor: "var(--line)", ticks: "outside", tickcolor: "var(--line-strong)", automargin: true };
const LAYOUT = {
  paper_bgcolor: "rgba(0,0,0,0)",
  plot_bgcolor: "rgba(0,0,0,0)",
  font: { color: "var(--text-muted)", size: 12, family: "system-ui, sans-serif" },
  margin: { l: 56, r: 16, t: 8, b: 36 },
  hovermode: "x unified",
  hoverlabel: { bgcolor: "var(--surface)", bordercolor: "var(--line-strong)", font: { color: "var(--text)" } },
  legend: { orientation: "h", y: 1, yanchor: "bottom", x: 0, font: { color: "var(--text)" } },
  modebar: { bgcolor: "rgba(0,0,0,0)", color: "var(--text-muted)", activecolor: "var(--accent)" },
  uirevision: "kept", // a zoom survives every redraw
};

export function panel(plot, { log = false, whole = false, onWhole } = {}) {
  let figure = { data: [], layout: {} };
  let frame = null; // [low, high] of the y axis, as drawn last
  let zoomed = null; // the same, as a person chose it
  let timer = null;
  let drawnAt = 0;

  async function draw() {
    timer = null;
    drawnAt = performance.now();
    const hasPoints = figure.data.some((trace) => (trace.x ?? trace.y ?? trace.values ?? []).length > 0);
    if (!hasPoints) return;
    const Plotly = await loadPlotly();
    if (!plot.isConnected) return;
    const layout = layoutOf(figure.layout, log);
    const range = figure.frame ? nextRange() : null;
    if (range) layout.yaxis = { ...layout.yaxis, range: [...range], autorange: false };
    else if (figure.frame) layout.yaxis = { ...layout.yaxis, autorange: true };
    await Plotly.react(plot, withColors(figure.data), layout, figure.frame ? FRAMED_CONFIG : CONFIG);
    if (figure.frame) watch();
  }

  function nextRange() {
    const shown = figure.data.filter((_, place) => plot.data?.[place]?.visible !== "legendonly");
    if (figure.frame === "losses") frame = whole || log ? null : lossFrame(shown, { before: frame });
    else frame = whole ? wholeFrame() : frameOf(shown, { best: figure.frame === "best", before: frame });
    const range = zoomed ?? frame;
    if (figure.frame === "losses") note("Above", range && !log ? aboveFrame(shown, range) : []);
    else note("Below", belowFrame(shown, range));
    return range;
  }

  function note(where, names) {
    const place = plot.closest(".chart-panel")?.querySelector("[data-frame-note]");
    if (!place) return;
    const more = names.length > 2 ? ` and ${names.length - 2} more` : "";
    place.textContent = names.length ? `${where}: ${names.slice(0, 2).join("; ")}${more}` : "";
  }

  function watch() {
    if (plot.dataset.watched) return;
    plot.dataset.watched = "true";
    plot.on("plotly_relayout", (change) => {
      if ("yaxis.range[0]" in change) zoomed = [change["yaxis.range[0]"], change["yaxis.range[1]"]];
    });
    plot.on("plotly_restyle", later); // a curve was hidden or shown
    plot.on("plotly_doubleclick", () => {
      if (zoomed || isZoomedAlong()) reset();
      else if (!onWhole?.(!whole)) setWhole(!whole);
    });
  }

  function isZoomedAlong() {
    const [from, to] = figure.layout.xaxis?.range ?? [];
    const range = plot.layout.xaxis.range;
    return from !== undefined && (range[0] !== from || range[1] !== to);
  }

  function setWhole(on) {
    whole = on;
    frame = zoomed = null;
    draw();
  }

  async function reset() {
    zoomed = null;
    const range = figure.layout.xaxis?.range;
    if (range) await window.Plotly.relayout(plot, { "xaxis.range[0]": range[0], "xaxis.range[1]": range[1] });
    await draw();
  }

  function later() {
    timer ??= setTimeout(draw, Math.max(0, drawnAt + DRAW_AT_MOST_EVERY_MS - performance.now()));
  }

  return {
    plot,
    redraw: draw,
    show(next) {
      figure = next;
      for (const trace of figure.data) trace.customdata ??= [...(trace.x ?? [])];
      return draw();
    },
    extend(points) {
      for (const point of points) {
        const trace = figure.data.find((one) => one.meta === point.name);
        if (!trace) continue;
        putPoint(trace, point);
        later();
      }
    },
    rewind(iteration) {
      for (const trace of figure.data) if (trace.meta) dropAfter(trace, iteration);
      later();
    },
    setLog(on) {
      log = on;
      frame = zoomed = null;
      draw();
    },
    setWhole,
    remove() {
      clearTimeout(timer);
      window.Plotly?.purge(plot);
    },
  };
}

function layoutOf(layout, log) {
  const axes = Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));
  const merged = { ...LAYOUT, ...layout };
  for (const key of new Set(["xaxis", "yaxis", ...axes])) {
    merged[key] = { ...AXIS, ...layout[key] };
    if (log && key === "yaxis") merged[key] = { ...merged[key], type: "log", range: undefined, rangemode: undefined };
  }
  return withColors(merged);
}

/* Zooming the x axis of one panel zooms that of the others. */
export function linkAxes(panels) {
  let busy = false;
  for (const { plot } of panels) {
    if (plot.dataset.linked || !plot.on) continue;
    plot.dataset.linked = "true";
    plot.on("plotly_relayout", async (change) => {
      const update = xRange(change);
      if (busy || !update) return;
      busy = true;
      try {
        for (const other of panels) if (other.plot !== plot && other.plot.data) await window.Plotly.relayout(other.plot, update);
      } finally {
        busy = false;
      }
    });
  }
}

function xRange(change) {
  if ("xaxis.range[0]" in change) {
    return { "xaxis.range[0]": change["xaxis.range[0]"], "xaxis.range[1]": change["xaxis.range[1]"] };
  }
  return "xaxis.autorange" in change ? { "xaxis.autorange": change["xaxis.autorange"] } : null;
}
