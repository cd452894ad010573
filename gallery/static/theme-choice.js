// The theme that people chose, before anything is drawn. No module: those come too late.
try {
  const theme = localStorage.getItem("nightsweep-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // A browser may forbid storage; then the system's theme stands.
}
