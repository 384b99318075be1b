// Before anything is drawn, so that no light page flashes up at night. Not a module: those wait.
(() => {
  const kept = localStorage.getItem("theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
