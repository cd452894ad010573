// Has the server begin with a grid while its link is only pointed at.
//
// It reads the images as soon as the page is asked for; so ask for the page, and drop it.

// Pointing for so long is meant; a pointer that passes by is not.
const POINTED_MS = 80;

// Watch the links within an element.
export function beginGridsAhead(element) {
  let timer = 0;
  const linkOf = (event) => event.target.closest('a[href^="/grid?"]');
  const begin = (link) => fetch(link.href, {priority: "low"}).catch(() => {});
  element.addEventListener("pointerover", (event) => {
    clearTimeout(timer);
    const link = linkOf(event);
    if (link) timer = setTimeout(begin, POINTED_MS, link);
  });
  element.addEventListener("pointerleave", () => clearTimeout(timer));
  element.addEventListener("pointerdown", (event) => {
    const link = linkOf(event);
    if (link) begin(link);
  });
}
