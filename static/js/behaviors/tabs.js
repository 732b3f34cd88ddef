/* <nav class="tabs"><a href="#a">…: shows one of the sections that the links name; without JavaScript all are shown. */

export function connect(nav) {
  const links = [...nav.querySelectorAll('a[href^="#"]')];
  const sections = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));
  nav.setAttribute("role", "tablist");

  function show(index, focus = false) {
    links.forEach((link, i) => {
      link.setAttribute("role", "tab");
      link.setAttribute("aria-selected", String(i === index));
      link.tabIndex = i === index ? 0 : -1;
      if (sections[i]) sections[i].hidden = i !== index;
    });
    if (focus) links[index].focus();
    sections[index]?.dispatchEvent(new CustomEvent("tab:shown", { bubbles: true }));
  }

  nav.addEventListener("click", (event) => {
    const index = links.indexOf(event.target.closest("a"));
    if (index < 0) return;
    event.preventDefault();
    history.replaceState(null, "", links[index].hash);
    show(index);
  });
  nav.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = links.indexOf(document.activeElement);
    if (step && at >= 0) show((at + step + links.length) % links.length, true);
  });
  show(Math.max(0, links.findIndex((link) => link.hash === location.hash)));
}
