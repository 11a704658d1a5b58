// Coming back to a list that grew while it was read leads to where one was: as many pictures are brought again.

const KEY = "chitram-place";
//: Below the bar at the top, in CSS pixels; and how much is brought again at most, in pages of the list.
const BAR = 64;
const MOST = 40;

/** Notes which picture is the first one in sight, and where it stands. */
const leave = (list) => {
  const tile = Array.from(list.children).find((each) => each.getBoundingClientRect().bottom > BAR);
  const picture = tile?.querySelector("a")?.getAttribute("href");
  if (!picture) return;
  const place = { list: location.href, picture, top: tile.getBoundingClientRect().top };
  try {
    sessionStorage.setItem(KEY, JSON.stringify(place));
  } catch {
    // Without storage one comes back to the top.
  }
};

const left = () => {
  try {
    const place = JSON.parse(sessionStorage.getItem(KEY));
    return place?.list === location.href ? place : null;
  } catch {
    return null;
  }
};

/** Brings more of the list until the picture of `place` is there, and shows it. Whoever moves meanwhile is let be. */
const comeBack = (list, place) => {
  let moved = false;
  for (const name of ["wheel", "touchstart", "keydown", "mousedown"]) {
    addEventListener(name, () => (moved = true), { once: true, passive: true });
  }
  let pages = 0;
  const look = () => {
    if (moved) return;
    const tile = list.querySelector(`a[href="${CSS.escape(place.picture)}"]`)?.closest("li");
    const missing = () => tile.getBoundingClientRect().top - place.top;
    if (tile) scrollBy({ top: missing(), behavior: "instant" });
    // Where the list ends too early, it cannot be scrolled as far yet.
    if (tile && Math.abs(missing()) < 2) {
      document.body.removeEventListener("htmx:load", lookLater);
      return;
    }
    // Where it already scrolled into view, it is on its way.
    const more = document.querySelector("#load-more:not(.htmx-request) a:not(.htmx-request)");
    if (more && ++pages <= MOST) more.click();
  };
  // Each picture that came is told of, and the next link last; before that it would be followed.
  let timer = 0;
  const lookLater = () => {
    clearTimeout(timer);
    timer = setTimeout(look);
  };
  document.body.addEventListener("htmx:load", lookLater);
  look();
};

/** Makes the lists that are brought piece by piece remember where one was. */
export const setUpReturning = () => {
  const list = document.getElementById("gallery");
  if (!list) return;
  addEventListener("pagehide", () => leave(list));
  const arrival = performance.getEntriesByType("navigation")[0]?.type;
  const place = arrival === "back_forward" || arrival === "reload" ? left() : null;
  if (!place) return;
  // A module may run before htmx has found the link that brings more.
  if (document.readyState === "complete") comeBack(list, place);
  else addEventListener("load", () => comeBack(list, place), { once: true });
};
