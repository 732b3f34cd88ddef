/* Draws figures and lets them grow while a model trains.
   <div class="chart" data-behavior="chart" data-url="/models/3/chart.json" data-events="/api/v1/models/3/events">
     <div class="chart-panel"> … <div class="chart-plot" data-figure="loss" data-empty="No points yet"></div></div>
   data-url     JSON {figures: {loss: {data, layout}, …}, last_id}; or a child <script type="application/json"> holds it
   data-events  optional server-sent events: `points` {points: [{id, epoch, iteration, name, value}]} extend the trace
                whose `meta` equals the point's name (traces hold x: epochs, y: values, customdata: iterations);
                `rewind` {iteration} forgets what lies after it; `state` {status, snapshots, …}: a changed status or
                number of snapshots loads the figures anew; `end` closes the line
   The page needs one line only: `state` and `log` are passed on as document events live:state and live:log, which
   live-fragment (data-on) and log-tail take.
   data-figure  name of the figure drawn in this element; panels share their epoch axis: zooming one zooms all those
                without data-alone
   Colours are tokens, e.g. line: {color: "var(--series-1)"}. <input type="checkbox" data-log="loss"> makes y logarithmic,
   data-whole="accuracy" shows 0 to 1 instead of what the curves have come to (a figure with `frame`), and an element
   with [data-frame-note] in the panel names curves that lie below; an element with [data-chart-state] says when the line is lost. The event "chart:load" {detail: {url}} loads another. */

import { choices, payload, say, tell } from "../lib/chart-element.js";
import { listen } from "../lib/events.js";
import { onThemeChange } from "../lib/colors.js";
import { linkAxes, panel } from "../lib/panels.js";

export function connect(element) {
  const panels = new Map(); // figure name → panel
  const known = new Set(); // metrics that the figures were asked for
  let missed = null; // points that arrive while figures are being loaded
  let again = false;
  let stopListening = null;
  let lastState = null;
  let alive = true;

  async function load() {
    if (missed) {
      again = true;
      return;
    }
    missed = [];
    try {
      const { figures, last_id: lastId } = await payload(element);
      if (!alive) return;
      await showAll(figures);
      if (!stopListening && element.dataset.events) follow(lastId);
    } catch (error) {
      say(element, error.message);
    }
    const points = missed;
    missed = null;
    extend(points);
    if (again && alive) {
      again = false;
      load();
    }
  }

  async function showAll(figures) {
    for (const plot of element.querySelectorAll("[data-figure]")) {
      const name = plot.dataset.figure;
      const figure = figures[name] ?? { data: [], layout: {} };
      figure.data.forEach((trace) => known.add(trace.meta));
      if (!panels.has(name)) panels.set(name, panel(plot, choices(element, name)));
      await panels.get(name).show(figure);
    }
    linkAxes([...panels.values()].filter((one) => !("alone" in one.plot.dataset)));
  }

  function follow(lastId) {
    stopListening = listen(element.dataset.events, {
      since: lastId ?? 0,
      on: {
        points: ({ points }) => extend(points),
        rewind: ({ iteration }) => panels.forEach((one) => one.rewind(iteration)),
        state: onState,
        log: (lines) => tell("live:log", lines),
      },
      onOpen: () => say(element, ""),
      onLost: () => say(element, "The line is lost; trying again"),
    });
  }

  function extend(points) {
    if (missed) missed.push(...points);
    for (const one of panels.values()) one.extend(points);
    const strange = points.map((point) => point.name).filter((name) => !known.has(name));
    if (strange.length === 0) return;
    strange.forEach((name) => known.add(name));
    load(); // a metric that the figures did not have yet; asked for once
  }

  function onState(state) {
    const mark = `${state.status} ${state.snapshots}`;
    if (lastState !== null && mark !== lastState) load();
    lastState = mark;
    tell("live:state", state);
  }

  element.addEventListener("chart:load", (event) => {
    if (event.detail?.url) element.dataset.url = event.detail.url;
    load();
  });
  element.addEventListener("change", (event) => {
    const { log, whole } = event.target.dataset ?? {};
    if (log) panels.get(log)?.setLog(event.target.checked);
    if (whole) panels.get(whole)?.setWhole(event.target.checked);
  });
  const endTheme = onThemeChange(() => panels.forEach((one) => one.redraw()));
  load();
  return () => {
    alive = false;
    stopListening?.();
    endTheme();
    panels.forEach((one) => one.remove());
  };
}
