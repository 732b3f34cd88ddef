/* Connects every element with data-behavior="name [name…]" to behaviors/name.js, also elements that are inserted later.
   A behaviour exports connect(element); what it returns, if anything, is called when the element leaves the page. */

const cleanups = new WeakMap();

async function connect(element) {
  if (cleanups.has(element)) return;
  const ends = [];
  cleanups.set(element, ends);
  for (const name of element.dataset.behavior.split(/\s+/).filter(Boolean)) {
    try {
      const behavior = await import(`./behaviors/${name}.js`);
      if (!element.isConnected) return;
      const end = behavior.connect(element);
      if (typeof end === "function") ends.push(end);
    } catch (error) {
      console.error(`behavior ${name} failed on`, element, error);
    }
  }
}

function disconnect(element) {
  if (element.isConnected) return; // only moved
  for (const end of cleanups.get(element) ?? []) end();
  cleanups.delete(element);
}

function each(root, visit) {
  if (root.nodeType !== Node.ELEMENT_NODE) return;
  if (root.dataset?.behavior) visit(root);
  for (const element of root.querySelectorAll("[data-behavior]")) visit(element);
}

new MutationObserver((changes) => {
  for (const change of changes) {
    for (const node of change.removedNodes) each(node, disconnect);
    for (const node of change.addedNodes) each(node, connect);
  }
}).observe(document.documentElement, { childList: true, subtree: true });

each(document.documentElement, connect);
