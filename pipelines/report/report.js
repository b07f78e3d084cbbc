"use strict";
(() => {
  const tip = document.getElementById("tip");
  for (const box of document.querySelectorAll("input[data-show]")) {
    const apply = () => document.body.classList.toggle(box.dataset.show, box.checked);
    box.addEventListener("change", apply);
    apply();
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.enlarge !== undefined) {
      const figure = button.closest("figure");
      const wide = figure.classList.toggle("wide");
      button.textContent = wide ? "Shrink" : "Enlarge";
      button.setAttribute("aria-pressed", String(wide));
      figure.scrollIntoView({ block: "nearest" });
    } else if (button.dataset.copy !== undefined) {
      const code = button.parentElement.querySelector("code");
      const selection = getSelection();
      selection.selectAllChildren(code);
      if (navigator.clipboard) {
        navigator.clipboard.writeText(code.textContent).then(() => { button.textContent = "Copied"; }, () => {});
      }
    }
  });
  const show = (rect, x, y) => {
    tip.replaceChildren();
    const word = document.createElement("b");
    word.textContent = rect.dataset.w;
    const line = rect.parentElement.dataset.line;
    const confidence = rect.dataset.p === undefined ? "1.00" : rect.dataset.p;
    tip.append(word, `word ${rect.dataset.i} · line ${line} · cell ${rect.dataset.c} · confidence ${confidence}`);
    tip.hidden = false;
    tip.style.left = `${Math.min(x + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(y + 18, innerHeight - tip.offsetHeight - 8)}px`;
  };
  document.addEventListener("pointermove", (event) => {
    const rect = event.target.closest ? event.target.closest("rect[data-w]") : null;
    if (rect) show(rect, event.clientX, event.clientY);
    else tip.hidden = true;
  });
  // Arrow keys walk through a focused page's words in reading order, for those who do not use a pointer.
  document.addEventListener("keydown", (event) => {
    const svg = event.target.closest ? event.target.closest(".sheet svg") : null;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!svg || !step) return;
    const words = [...svg.querySelectorAll("rect[data-w]")].sort((a, b) => a.dataset.i - b.dataset.i);
    if (!words.length) return;
    event.preventDefault();
    const at = words.findIndex((rect) => rect.classList.contains("on"));
    words.forEach((rect) => rect.classList.remove("on"));
    const next = words[at < 0 ? 0 : (at + step + words.length) % words.length];
    next.classList.add("on");
    const place = next.getBoundingClientRect();
    show(next, place.right, place.bottom);
  });
})();
