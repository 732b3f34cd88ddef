/* Between a report of the check and the editor beside it: marks at faulty lines, and a click on a place goes there. */

export function markIssues(report, editor) {
  const issues = [...report.querySelectorAll(".issues [data-line]")].map((item) => ({
    line: Number(item.dataset.line),
    kind: item.dataset.kind,
    message: item.querySelector("span").textContent,
  }));
  editor.dispatchEvent(new CustomEvent("editor:issues", { detail: { issues } }));
}

export function goOnClick(report, editorOf) {
  report.addEventListener("click", (event) => {
    const row = event.target.closest(".place, .node")?.closest("[data-line]");
    const editor = editorOf();
    if (!editor || !Number(row?.dataset.line)) return;
    event.preventDefault();
    const detail = { line: Number(row.dataset.line), column: Number(row.dataset.column || 1) };
    editor.dispatchEvent(new CustomEvent("editor:go", { detail }));
  });
}
