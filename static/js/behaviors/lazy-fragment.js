/* <div data-behavior="lazy-fragment" data-url="…"><a href="…">Show</a></div>: when it comes near the view, its inside
   becomes the partial at data-url. Without JavaScript the link inside does the same on a page of its own. */

export function connect(element) {
  const observer = new IntersectionObserver(
    async (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      const response = await fetch(element.dataset.url, { credentials: "same-origin" }).catch(() => null);
      if (!response?.ok || response.redirected) return; // the link stays
      const template = document.createElement("template");
      template.innerHTML = await response.text();
      element.replaceChildren(template.content);
    },
    { rootMargin: "300px" },
  );
  observer.observe(element);
  return () => observer.disconnect();
}
