/* <pre class="code" data-kind="log" data-behavior="log-tail">: appends lines of the document event live:log
   {lines, restart} (sent by the chart of the page), and stays at the end unless somebody has scrolled up. */

const MOST_LINES = 2000;

export function connect(element) {
  const toEnd = () => {
    element.scrollTop = element.scrollHeight;
  };
  function onLog({ detail: { lines, restart } }) {
    const isAtEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 24;
    const text = restart ? "" : element.textContent.trimEnd();
    const before = text ? text.split("\n") : [];
    element.textContent = [...before, ...lines].slice(-MOST_LINES).join("\n") + "\n";
    if (isAtEnd) toEnd();
  }
  document.addEventListener("live:log", onLog);
  toEnd();
  return () => document.removeEventListener("live:log", onLog);
}
