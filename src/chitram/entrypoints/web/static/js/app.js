// What HTML cannot do by itself, on every page. Every form and link works without it.

import { markBroken, showPlaceholders } from "./placeholders.js";
import { setUpChoosing } from "./choosing.js";
import { setUpCopying } from "./copying.js";
import { setUpDeleting } from "./deleting.js";
import { setUpReturning } from "./returning.js";
import { setUpTheme } from "./themes.js";
import { toast, text } from "./toasts.js";
import { setUpZoom } from "./zooming.js";
import { setUpUploads } from "./uploads.js";

const setUp = (root) => {
  showPlaceholders(root);
  setUpCopying(root);
};

markBroken();
setUp(document);
setUpTheme();
setUpZoom();
setUpUploads();
setUpDeleting();
setUpChoosing();
setUpReturning();

// Parts that htmx brought.
document.body.addEventListener("htmx:load", (event) => setUp(event.detail.elt.parentElement ?? document));

// Whoever stands on the button for more when it is replaced goes on at the first of what came, not at the top.
document.body.addEventListener("htmx:beforeSwap", (event) => {
  const { target, shouldSwap } = event.detail;
  if (!shouldSwap || target.id !== "load-more" || !target.contains(document.activeElement)) return;
  const last = document.querySelector("#gallery > li:last-child");
  const goOn = () => last.nextElementSibling?.querySelector("a, input").focus({ preventScroll: true });
  // Before the button goes: where nothing takes its place, nothing is told of afterwards.
  document.body.addEventListener("htmx:oobAfterSwap", goOn, { once: true });
});

// A part that failed: say so, leave the rest of the page as it is.
document.body.addEventListener("htmx:responseError", (event) => {
  const answer = event.detail.xhr;
  if (answer.status === 401) {
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    return;
  }
  // What we say of our errors is plain text; everything else is a proxy's page, perhaps.
  const isWords = answer.getResponseHeader("Content-Type")?.startsWith("text/plain");
  toast((isWords && answer.responseText) || text("failed"));
});
document.body.addEventListener("htmx:sendError", () => toast(text("offline")));

// A menu closes with Escape and when something else is touched.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

// A form that is being sent must not be sent twice.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button || event.defaultPrevented) return;
  // Later, or the button's own name and value would not be sent.
  setTimeout(() => button.setAttribute("aria-busy", "true"));
});
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button[aria-busy]")) button.removeAttribute("aria-busy");
});
