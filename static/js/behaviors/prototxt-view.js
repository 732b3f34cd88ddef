/* Colours the lines of a <pre class="code" data-numbered> of .line elements. */

import { highlight } from "../lib/prototxt.js";

export function connect(pre) {
  for (const line of pre.querySelectorAll(".line")) line.innerHTML = highlight(line.textContent);
}
