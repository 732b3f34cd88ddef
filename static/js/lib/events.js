/* Server-sent events that survive: reconnects with the last id seen (?since=), closes while the tab is hidden and
   catches up when it is shown again. listen(url, {since, on: {points(data), state(data)}, onOpen, onLost}) → stop() */

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15000;

export function listen(url, { since = 0, on = {}, onOpen, onLost } = {}) {
  let source = null;
  let timer = null;
  let wait = FIRST_WAIT_MS;
  let last = since;
  let stopped = false;

  function open() {
    clearTimeout(timer);
    if (stopped || source || document.hidden) return;
    const address = new URL(url, location.href);
    if (last) address.searchParams.set("since", last);
    source = new EventSource(address);
    source.onopen = () => {
      wait = FIRST_WAIT_MS;
      onOpen?.();
    };
    source.onerror = () => {
      close();
      if (stopped) return;
      onLost?.();
      timer = setTimeout(open, wait);
      wait = Math.min(LONGEST_WAIT_MS, wait * 2);
    };
    for (const [name, react] of Object.entries(on)) {
      source.addEventListener(name, (event) => {
        if (event.lastEventId) last = event.lastEventId;
        react(JSON.parse(event.data));
      });
    }
    source.addEventListener("end", stop); // the server has no more to say
  }

  function close() {
    source?.close();
    source = null;
  }

  function onVisibility() {
    if (document.hidden) close();
    else open();
  }

  function stop() {
    stopped = true;
    clearTimeout(timer);
    close();
    document.removeEventListener("visibilitychange", onVisibility);
  }

  document.addEventListener("visibilitychange", onVisibility);
  addEventListener("pagehide", close);
  open();
  return stop;
}
