/* Points of a live chart: each series holds one value per iteration, in order, and at most MOST_POINTS of them. */

export const MOST_POINTS = 1500;

/* Puts a point into a Plotly trace {x: epochs, y: values, customdata: iterations}; an iteration that is there already
   is overwritten, so that what is sent twice, or again after a resume, shows once. */
export function putPoint(trace, { epoch, iteration, value }) {
  const at = placeOf(trace.customdata, iteration);
  const y = Number.isFinite(value) ? value : null;
  const replaced = trace.customdata[at] === iteration ? 1 : 0;
  trace.x.splice(at, replaced, epoch);
  trace.y.splice(at, replaced, y);
  trace.customdata.splice(at, replaced, iteration);
  if (trace.x.length > MOST_POINTS) thin(trace);
}

/* Forgets the points after an iteration: a run went on from the snapshot that was made there. */
export function dropAfter(trace, iteration) {
  const kept = placeOf(trace.customdata, iteration + 1);
  for (const key of ["x", "y", "customdata"]) trace[key].length = kept;
}

function placeOf(iterations, iteration) {
  let low = 0;
  let high = iterations.length;
  if (high === 0 || iterations[high - 1] < iteration) return high; // nearly always
  while (low < high) {
    const middle = (low + high) >> 1;
    if (iterations[middle] < iteration) low = middle + 1;
    else high = middle;
  }
  return low;
}

/* Halves a series: of every four neighbours the lowest and the highest stay, so that spikes survive; so do both ends. */
function thin(trace) {
  const { y } = trace;
  const kept = [0];
  for (let from = 1; from < y.length - 1; from += 4) {
    const group = [];
    for (let i = from; i < Math.min(from + 4, y.length - 1); i += 1) if (y[i] !== null) group.push(i);
    if (group.length === 0) kept.push(from);
    else kept.push(...extremes(group, y));
  }
  kept.push(y.length - 1);
  for (const key of ["x", "y", "customdata"]) {
    const values = trace[key];
    trace[key] = kept.map((i) => values[i]);
  }
}

function extremes(group, y) {
  let lowest = group[0];
  let highest = group[0];
  for (const i of group) {
    if (y[i] < y[lowest]) lowest = i;
    if (y[i] > y[highest]) highest = i;
  }
  if (lowest === highest) return [lowest];
  return lowest < highest ? [lowest, highest] : [highest, lowest];
}
