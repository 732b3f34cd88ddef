/* A report of the check in a form whose text area "prototxt" may be there or not: whenever the report is drawn anew,
   the lines are marked in it; a click on a place goes there. */

import { goOnClick, markIssues } from "../lib/issues.js";

export function connect(element) {
  const editorOf = () => element.closest("form").elements.prototxt;
  const mark = () => editorOf() && markIssues(element, editorOf());
  const observer = new MutationObserver(mark);
  observer.observe(element, { childList: true });
  goOnClick(element, editorOf);
  setTimeout(mark, 100); // once the editor around the text area is there
  return () => observer.disconnect();
}
