/* <nav class="tabs"><a href="#a">…: shows one of the sections that the links name; without JavaScript all are shown.
   A link to something inside a hidden section shows that section first. */

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
  }

  function onHash() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const index = target ? sections.findIndex((section) => section?.contains(target)) : -1;
    if (index < 0) return;
    show(index);
    if (target !== sections[index]) target.scrollIntoView();
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
  addEventListener("hashchange", onHash);
  show(0);
  onHash();
  return () => removeEventListener("hashchange", onHash);
}
