/* The stretch of the y axis that a panel of shares (0 to 1) shows: what the runs have come to, not where they began.
   From the middle of a run to its end gets most of the room, so that 98.9 and 99.0 % differ; where it began may lie below.
   Series are Plotly traces {x: epochs, y: shares or null}. */

const ALL = [0, 1];
const FEW = 5; // points of a trained net; so few are all shown
const LEAST_SPAN = 0.004; // less is chance on most validation splits
const SETTLED_SHARE = 0.7; // of the height, at least
const LOOSE = 3.5; // a frame that has become too wide by less than this stays, so that the axis is quiet
const HEADROOM = 0.5; // of the span, for what a growing run will reach next
const PAD = 0.03; // of the height, so that markers on the edge are whole

/* [low, high] of the axis; `before` is what it was, kept while it serves. With `best`, curves that end far below the
   better half of them do not count. */
export function frameOf(series, { best = false, before = null } = {}) {
  const known = series.map(stretch).filter(Boolean);
  if (known.length === 0 || known.every((one) => one.count < 2)) return padded(ALL);
  const counted = best ? better(known) : known;
  const high = Math.max(LEAST_SPAN, ...known.map((one) => one.top));
  const span = Math.max(high - Math.min(...counted.map((one) => one.low)), LEAST_SPAN);
  const lowest = Math.min(...counted.map((one) => one.lowest), high - span);
  const low = Math.max(0, lowest, high - span / SETTLED_SHARE);
  if (before && serves(before, low, high)) return before;
  return padded(rounded(low, before ? high + HEADROOM * span : high));
}

/* The same for losses, from 0: what the better half of the curves (by where they end) reached, and beyond it those that
   take no more than three times its room, so that one that diverged does not flatten the others. Null without points. */
export function lossFrame(series, { before = null } = {}) {
  const known = series.map(({ y }) => y.filter(Number.isFinite)).filter((values) => values.length > 0);
  if (known.length === 0) return null;
  const sorted = known.map((values) => ({ top: highest(values), last: values.at(-1) })).sort((a, b) => a.last - b.last);
  const half = Math.ceil(sorted.length / 2);
  let high = highest(sorted.slice(0, half).map((one) => one.top));
  for (const next of sorted.slice(half)) if (next.top <= 3 * high) high = Math.max(high, next.top);
  high = high > 0 ? high * (1 + PAD) : 1;
  return before && high <= before[1] && before[1] <= LOOSE * high ? before : [0, high];
}

/* The names of the series that end above a frame. */
export function aboveFrame(series, [, high]) {
  return [...new Set(series.filter(({ y }) => y.findLast(Number.isFinite) > high).map((one) => one.name))];
}

const highest = (values) => values.reduce((most, value) => Math.max(most, value), -Infinity);

export const wholeFrame = () => padded(ALL);

/* The names of the series that lie below a frame with all that they have come to. */
export function belowFrame(series, [low]) {
  return series.filter((one) => stretch(one)?.top < low).map((one) => one.name);
}

/* What a series has come to: low and top from the middle of the run on (top of all), lowest of all, last. A validation
   before the first iteration tells nothing about the run. */
function stretch({ x, y }) {
  const places = x.map((_, i) => i).filter((i) => Number.isFinite(y[i]));
  if (places.length === 0) return null;
  const trained = places.filter((i) => x[i] > 0);
  if (trained.length === 0) return { count: 0, low: 0, lowest: 0, top: y[places[0]], last: y[places[0]] };
  const middle = (x[trained[0]] + x[trained.at(-1)]) / 2;
  const settled = trained.length < FEW ? trained : trained.filter((i) => x[i] >= middle);
  const lowOf = (some) => some.reduce((least, i) => Math.min(least, y[i]), Infinity);
  const top = trained.reduce((most, i) => Math.max(most, y[i]), 0);
  return { count: trained.length, low: lowOf(settled), lowest: lowOf(trained), top, last: y[trained.at(-1)] };
}

/* The better half by where they end, and those below as long as each takes no more room than all above it. */
function better(known) {
  const sorted = [...known].sort((a, b) => b.last - a.last);
  const top = Math.max(...sorted.map((one) => one.top));
  const counted = sorted.slice(0, Math.ceil(sorted.length / 2));
  for (const next of sorted.slice(counted.length)) {
    const span = Math.max(top - Math.min(...counted.map((one) => one.low)), LEAST_SPAN);
    if (top - next.low > 2 * span) break;
    counted.push(next);
  }
  return counted;
}

function serves([from, to], low, high) {
  return from <= low && high <= to && to - from <= LOOSE * (high - low);
}

/* To whole steps of 1, 2 or 5, a few to the span. */
function rounded(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.99) * power;
  return [Math.max(0, Math.floor(low / step + 1e-6) * step), Math.min(1, Math.ceil(high / step - 1e-6) * step)];
}

function padded([low, high]) {
  const pad = PAD * (high - low);
  return [low - pad, high + pad];
}
