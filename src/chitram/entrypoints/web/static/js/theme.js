// Runs before the first paint, so that a chosen theme does not flash, and that what only scripts can do has its place at once.
document.documentElement.dataset.script = "";
try {
  const chosen = localStorage.getItem("chitram-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Without storage the system's theme is the one.
}
