// Deletes groups, after a confirmation. Without this script, the page has no buttons for it.
"use strict";
document.documentElement.className = "live";

document.querySelector(".jobs tbody")?.addEventListener("click", async event => {
  const button = event.target.closest("button[data-path]");
  const name = button?.getAttribute("aria-label");
  if (!button || !confirm(name + "?")) return;
  const status = document.getElementById("status");
  try {
    const response = await fetch(button.dataset.path, { method: "DELETE" });
    if (!response.ok) throw new Error(await response.text());
  } catch (error) {
    status.textContent = "Not deleted: " + error.message;
    return;
  }
  const row = button.closest("tr");
  const next = row.nextElementSibling ?? row.previousElementSibling;
  row.remove();
  status.textContent = name.replace("Delete", "Deleted") + ".";
  (next?.querySelector("button[data-path]") ?? document.getElementById("search")).focus();
});
