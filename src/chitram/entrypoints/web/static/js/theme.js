// Runs before the first paint, so that a chosen theme does not flash, and that what only scripts can do has its place at once.
document.documentElement.dataset.script = "";
// A script that could not be fetched does nothing: then the page is the one for those who have none.
addEventListener(
  "error",
  (event) => {
    if (event.target instanceof HTMLScriptElement) delete document.documentElement.dataset.script;
  },
  true,
);
try {
  const chosen = localStorage.getItem("chitram-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Without storage the system's theme is the one.
}
