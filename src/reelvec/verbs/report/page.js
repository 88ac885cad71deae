"use strict";
document.documentElement.classList.add("js");

// light, dark, or as the system has it; remembered where the browser lets a file remember
(() => {
  const button = document.getElementById("theme"), kinds = ["", "light", "dark"], words = ["as the system", "light", "dark"];
  let now = 0;
  try { now = Math.max(0, kinds.indexOf(localStorage.getItem("reelvec-theme") || "")); } catch { now = 0; }
  const show = () => {
    if (kinds[now]) document.documentElement.dataset.theme = kinds[now]; else delete document.documentElement.dataset.theme;
    button.textContent = "Theme: " + words[now];
  };
  button.addEventListener("click", () => {
    now = (now + 1) % kinds.length;
    try { localStorage.setItem("reelvec-theme", kinds[now]); } catch { /* a page without storage forgets */ }
    show();
  });
  show();
})();

// all strips at once, for who asks for it
(() => {
  const button = document.getElementById("play");
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(document.body.classList.toggle("playing")));
  });
})();

// a curve is read with a slider that lies over it: mouse, touch and arrow keys come with the slider
for (const plot of document.querySelectorAll(".plot")) {
  const points = JSON.parse(plot.dataset.points), svg = plot.querySelector("svg");
  const names = plot.dataset.lines ? JSON.parse(plot.dataset.lines) : null;  // several runs on one axis
  const hair = svg.querySelector(".hair"), dots = [...svg.querySelectorAll(".dot")], reading = plot.parentElement.querySelector(".reading");
  const slider = document.createElement("input");
  slider.type = "range"; slider.min = 0; slider.max = points.length - 1; slider.step = 1; slider.value = points.length - 1;
  slider.setAttribute("aria-label", plot.dataset.name + ", value by step");
  const across = names ? 1 : 2;
  const write = (value) => value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  const show = () => {
    const point = points[slider.value], x = point[across];
    const values = names ? point[2] : [[point[1], point[3]]];
    hair.setAttribute("x1", x); hair.setAttribute("x2", x);
    dots.forEach((dot, i) => { dot.setAttribute("cx", values[i] ? x : -20); dot.setAttribute("cy", values[i] ? values[i][1] : 0); });
    const told = values.map((one, i) => one && (names ? names[i] + " " : "") + write(one[0])).filter(Boolean);
    const text = "step " + point[0] + ": " + told.join(", ");
    reading.textContent = text; slider.setAttribute("aria-valuetext", text); plot.classList.add("read");
  };
  const nearest = (event) => {
    const box = svg.getBoundingClientRect(), at = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    let best = 0;
    for (let i = 1; i < points.length; i++) if (Math.abs(points[i][across] - at) < Math.abs(points[best][across] - at)) best = i;
    slider.value = best; show();
  };
  slider.addEventListener("input", show);
  slider.addEventListener("focus", show);
  slider.addEventListener("pointermove", nearest);
  slider.addEventListener("pointerdown", (event) => { event.preventDefault(); slider.focus(); nearest(event); });
  plot.append(slider);
}

// a map: what is pointed at, tapped or walked to is shown beside it; the legend picks out a class
for (const map of document.querySelectorAll(".map")) {
  const ground = map.querySelector(".ground"), points = [...ground.querySelectorAll(".p")];
  const thumb = map.querySelector(".thumb"), words = map.querySelector(".words");
  const places = points.map((point) => { const { e, f } = point.transform.baseVal[0].matrix; return [e, f]; });
  const title = points.map((point) => { const t = point.querySelector("title"), text = t.textContent; t.remove(); return text; });
  const columns = 20;
  let current = -1;
  const go = (i) => {
    if (i < 0 || i === current) return;
    if (current >= 0) points[current].classList.remove("on");
    current = i;
    points[i].classList.add("on");
    points[i].parentNode.append(points[i]);
    words.textContent = title[i];
    const place = points[i].dataset.t;
    thumb.classList.toggle("shown", place !== undefined);
    if (place !== undefined) {
      const tall = Number(getComputedStyle(thumb).getPropertyValue("--tall")), x = place % columns, y = Math.floor(place / columns);
      thumb.style.backgroundPosition = 100 * x / (columns - 1) + "% " + (tall > 1 ? 100 * y / (tall - 1) : 0) + "%";
    }
  };
  const pointed = (event) => {
    const svg = ground.querySelector("svg"), box = svg.getBoundingClientRect(), seen = svg.viewBox.baseVal;
    const x = seen.x + (event.clientX - box.left) / box.width * seen.width;
    const y = seen.y + (event.clientY - box.top) / box.height * seen.height;
    let best = -1, far = 20 * 20;
    places.forEach(([a, b], i) => { const d = (a - x) ** 2 + (b - y) ** 2; if (d < far) { best = i; far = d; } });
    go(best);
  };
  ground.addEventListener("pointermove", pointed);
  ground.addEventListener("pointerdown", pointed);
  ground.addEventListener("focus", () => { if (current < 0) go(0); });
  const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  ground.addEventListener("keydown", (event) => {
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    if (current < 0) { go(0); return; }
    const [x, y] = places[current];
    let best = -1, least = Infinity;
    places.forEach(([a, b], i) => {
      const along = (a - x) * way[0] + (b - y) * way[1], aside = Math.abs((a - x) * way[1]) + Math.abs((b - y) * way[0]);
      if (i !== current && along > 0 && along >= aside && along + 2 * aside < least) { best = i; least = along + 2 * aside; }
    });
    go(best);
  });
  for (const button of map.querySelectorAll(".legend button")) {
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") !== "true";
      for (const other of map.querySelectorAll(".legend button")) other.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", String(pressed));
      ground.classList.toggle("picked", pressed);
      for (const point of points) point.classList.toggle("chosen", pressed && point.dataset.k === button.dataset.k);
    });
  }
}

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    try { await navigator.clipboard.writeText(code.textContent); button.textContent = "Copied"; } catch {
      const range = document.createRange(); range.selectNodeContents(code);
      getSelection().removeAllRanges(); getSelection().addRange(range); button.textContent = "Selected: press Ctrl+C";
    }
  });
}

// what scrolls sideways can be reached by the keyboard, but only where it does scroll
const reach = () => {
  for (const box of document.querySelectorAll(".scroll")) {
    if (box.scrollWidth > box.clientWidth + 1) {
      box.tabIndex = 0; box.setAttribute("role", "region");
      box.setAttribute("aria-label", box.querySelector("caption")?.textContent || "table");
    } else { box.removeAttribute("tabindex"); box.removeAttribute("role"); box.removeAttribute("aria-label"); }
  }
};
addEventListener("resize", reach);
document.addEventListener("toggle", reach, true);
reach();

// paper shows what is folded away
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details:not([open])")) { one.open = true; one.dataset.folded = ""; }
});
addEventListener("afterprint", () => {
  for (const one of document.querySelectorAll("details[data-folded]")) { one.open = false; delete one.dataset.folded; }
});
