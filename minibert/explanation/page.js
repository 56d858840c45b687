"use strict";
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const count = data.tokens.length;
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const attention = data.attention.map(bytes); // of each layer: heads × queries × keys, in percent
  const weight = (layer, head, query, key) => attention[layer][(head * count + query) * count + key];
  const svg = (name, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text; // never innerHTML: a token may be any text
    return element;
  };
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim().split(" ").map(Number);

  function paint(canvas, width, height, pixel) {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    for (let place = 0; place < width * height; place += 1) image.data.set(pixel(place), place * 4);
    context.putImageData(image, 0, 0);
  }

  function paintAll() {
    const [plus, minus] = [color("--plus"), color("--minus")];
    for (const button of document.querySelectorAll(".heads button")) {
      const start = button.dataset.head * count * count;
      const own = attention[button.dataset.layer];
      paint(button.querySelector("canvas"), count, count, (place) => [...plus, 255 * Math.sqrt(own[start + place] / 100)]);
    }
    for (const canvas of document.querySelectorAll("canvas.strip")) {
      const values = new Int8Array(bytes(data.strips[canvas.dataset.strip]).buffer);
      const width = values.length / count;
      const start = canvas.dataset.row * width;
      paint(canvas, width, 1, (place) => {
        const value = values[start + place] / 127;
        return [...(value < 0 ? minus : plus), 255 * Math.sqrt(Math.abs(value))];
      });
    }
  }

  const query = document.getElementById("query");
  let chosen = [attention.length - 1, 0];

  function drawHead() {
    const [layer, head] = chosen;
    const row = Number(query.value);
    const figure = document.getElementById("head-drawing");
    const height = count * 20 + 12;
    const drawing = svg("svg", { viewBox: `0 0 370 ${height}`, role: "img" });
    const ranked = data.tokens.map((token, key) => [weight(layer, head, row, key), key]).sort((a, b) => b[0] - a[0]);
    const best = ranked.slice(0, 5).filter(([value]) => value > 0).map(([value, key]) => `${data.tokens[key]} ${value}%`);
    const sentence = `Layer ${layer + 1}, head ${head + 1}: “${data.tokens[row]}” looks at ${best.join(", ")}.`;
    drawing.append(svg("title", {}, sentence));
    for (let key = 0; key < count; key += 1) {
      const value = weight(layer, head, row, key);
      const y = key * 20 + 16;
      if (value) drawing.append(svg("line", { x1: 112, y1: row * 20 + 12, x2: 216, y2: y - 4, "stroke-width": 1 + value / 12, opacity: 0.15 + (0.85 * value) / 100 }));
      drawing.append(svg("text", { x: 106, y, "text-anchor": "end", class: key === row ? "chosen" : "" }, data.tokens[key]));
      drawing.append(svg("text", { x: 222, y }, `${data.tokens[key]}  ${value ? value + "%" : ""}`));
    }
    figure.replaceChildren(drawing);
    document.getElementById("head-sentence").textContent = sentence;
    for (const button of document.querySelectorAll(".heads button")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.layer) === layer && Number(button.dataset.head) === head));
    }
  }

  for (const button of document.querySelectorAll(".heads button")) {
    button.addEventListener("click", () => {
      chosen = [Number(button.dataset.layer), Number(button.dataset.head)];
      drawHead();
    });
  }
  query.value = String(data.row);
  query.addEventListener("change", drawHead);

  function show(name, value) {
    for (const element of document.querySelectorAll(`[data-${name}]`)) {
      if (element.tagName !== "INPUT") element.hidden = value !== "" && element.dataset[name] !== value;
    }
  }
  for (const input of document.querySelectorAll("input[data-target]")) {
    input.addEventListener("change", () => {
      for (const other of document.querySelectorAll("input[data-target]")) other.checked = other.dataset.target === input.dataset.target;
      show("target", input.dataset.target);
    });
  }
  if (document.querySelector("[data-target]")) show("target", "0");
  const words = document.getElementById("changed-word");
  if (words) words.addEventListener("change", () => show("word", words.value));

  paintAll();
  drawHead();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintAll);
}
