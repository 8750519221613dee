// Compares pictures of every component of the gallery, in both themes, with those kept in e2e/gallery.
// Usage: node gallery.mjs STORYBOOK [-renew] OUTDIR. STORYBOOK is what TestStorybook wrote; what differs is written to OUTDIR, with the places
// marked. With -renew the pictures in e2e/gallery are replaced. Exit code 0 only when nothing differs.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { extname, join } from "node:path";
import { Witness, check, launch } from "./browser.mjs";

const args = process.argv.slice(2);
const renew = args.includes("-renew");
const [storybook, outDir] = args.filter((a) => a !== "-renew");
if (!outDir) {
  console.error("usage: node gallery.mjs STORYBOOK [-renew] OUTDIR");
  process.exit(2);
}
const golden = join("e2e", "gallery"); // from the root of the repository
const types = { ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".woff2": "font/woff2" };

// Another Chromium draws letters a little differently. So what is kept and compared is the mean colour of squares, and only squares that show
// something count.
const limits = {
  square: 4, // pixels, of which a kept picture has one
  colour: 12, // of 255, between the red, green or blue of two squares beside each other
  share: 0.03, // of the squares with something in them
  size: 2, // squares, by which a picture may be larger: a line of text is 5
};

// What must be noticed, else the comparison sees too little.
const changes = [
  ["a status in the colours of another", ".chip.run { color: var(--ok); background: var(--ok-bg); }", "statuses"],
  ["statuses without icons", ".chip .icon { visibility: hidden; }", "statuses"],
  ["a primary button like any other", ".primary { background: var(--surface); color: var(--text); }", "buttons"],
  ["cards without padding", ".card { padding: 0; }", "result"],
  ["an incident that looks like attention", ".headline.bad { background: var(--warn-bg); border-color: var(--warn); }", "headline-incident"],
];

/** hold keeps a picture of the whole gallery in the page that compares. */
async function hold(png) {
  const image = new Image();
  image.src = "data:image/png;base64," + png;
  await image.decode();
  globalThis.gallery = image;
}

/** inPage runs there. It gives one component's part of that picture in squares, and when there is one that it should look like, what differs, marked. */
async function inPage({ box, want, limits }) {
  const draw = (image, { x, y, width, height }) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const ctx = canvas.getContext("2d", { willReadFrequently: true });
    ctx.drawImage(image, x, y, width, height, 0, 0, width, height);
    return { canvas, ctx, width, height, data: ctx.getImageData(0, 0, width, height).data };
  };
  const kept = async (png) => {
    const image = new Image();
    image.src = "data:image/png;base64," + png;
    await image.decode();
    return draw(image, { x: 0, y: 0, width: image.width, height: image.height });
  };
  const mean = ({ data, width }, x, y, n) => {
    const sum = [0, 0, 0];
    for (let j = y; j < y + n; j++) for (let i = x; i < x + n; i++) for (let c = 0; c < 3; c++) sum[c] += data[(j * width + i) * 4 + c];
    return sum.map((v) => v / n / n);
  };
  const base64 = (canvas) => canvas.toDataURL("image/png").split(",")[1];
  const n = limits.square;
  const full = draw(globalThis.gallery, box);
  const picture = base64(full.canvas);
  const small = document.createElement("canvas");
  [small.width, small.height] = [Math.floor(full.width / n), Math.floor(full.height / n)];
  const pixels = new ImageData(small.width, small.height);
  for (let y = 0; y < small.height; y++) for (let x = 0; x < small.width; x++) pixels.data.set([...mean(full, x * n, y * n, n), 255], (y * small.width + x) * 4);
  small.getContext("2d").putImageData(pixels, 0, 0);
  const squares = base64(small);
  if (!want) return { picture, squares };

  const [a, b] = [await kept(want), await kept(squares)];
  const apart = (p, q) => Math.max(...p.map((v, c) => Math.abs(v - q[c])));
  const ground = mean(a, 0, 0, 1);
  let filled = 0, differ = 0;
  full.ctx.fillStyle = "rgb(255 0 160 / .45)";
  for (let y = 0; y + 2 <= Math.min(a.height, b.height); y += 2) {
    for (let x = 0; x + 2 <= Math.min(a.width, b.width); x += 2) {
      const [p, q] = [mean(a, x, y, 2), mean(b, x, y, 2)];
      if (apart(p, ground) < 4 && apart(q, ground) < 4) continue;
      filled++;
      if (apart(p, q) <= limits.colour) continue;
      differ++;
      full.ctx.fillRect(x * n, y * n, 2 * n, 2 * n);
    }
  }
  const off = Math.max(Math.abs(a.width - b.width), Math.abs(a.height - b.height));
  return { picture, squares, share: differ / Math.max(filled, 1), off, marked: base64(full.canvas) };
}

mkdirSync(outDir, { recursive: true });
if (renew) rmSync(golden, { recursive: true, force: true });
mkdirSync(golden, { recursive: true });
const witness = new Witness(outDir);
const browser = await launch();
const problems = [];
const seen = new Set();
try {
  const page = await witness.person(browser, "somebody", { viewport: { width: 1000, height: 900 }, reducedMotion: "reduce", deviceScaleFactor: 1 });
  await page.route("**", (route) => {
    const { pathname } = new URL(route.request().url());
    const file = join(storybook, pathname);
    return types[extname(file)] && existsSync(file) ? route.fulfill({ body: readFileSync(file), contentType: types[extname(file)] }) : route.fulfill({ status: 204 });
  });
  const workbench = await witness.person(browser, "the comparison");
  const boxes = () => page.evaluate(() => Object.fromEntries([...document.querySelectorAll("[data-component]")].map((e) => {
    const r = e.getBoundingClientRect();
    return [e.dataset.component, { x: Math.round(r.x), y: Math.round(r.y + scrollY), width: Math.round(r.width), height: Math.round(r.height) }];
  })));
  const take = async () => {
    await workbench.evaluate(hold, (await page.screenshot({ fullPage: true, animations: "disabled" })).toString("base64"));
    return boxes();
  };
  const look = async (box, name) => {
    const file = join(golden, name + ".png");
    const want = !renew && existsSync(file) ? readFileSync(file, "base64") : "";
    return { want, ...(await workbench.evaluate(inPage, { box, want, limits })) };
  };
  const same = ({ share, off }) => share <= limits.share && off <= limits.size;
  let worst = 0;
  for (const theme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: theme });
    await page.goto(`http://gallery.invalid/gallery.${theme}.html`);
    await page.evaluate(() => document.fonts.ready);
    for (const [component, box] of Object.entries(await take())) {
      const name = `${component}.${theme}`;
      seen.add(name + ".png");
      const { picture, squares, want, share, off, marked } = await look(box, name);
      if (renew) { writeFileSync(join(golden, name + ".png"), squares, "base64"); continue; }
      if (!want) { problems.push(`${name} has no picture yet`); continue; }
      worst = Math.max(worst, share);
      if (same({ share, off })) continue;
      writeFileSync(join(outDir, name + ".png"), picture, "base64");
      writeFileSync(join(outDir, name + ".difference.png"), marked, "base64");
      problems.push(`${name}: ${(100 * share).toFixed(1)} % of what it shows differs, at most ${100 * limits.share} % may; ${limits.square * off} pixels larger or smaller`);
    }
    for (const [what, css, name] of renew ? [] : changes) {
      const style = await page.addStyleTag({ content: css.replaceAll(";", " !important;") });
      const box = (await take())[name];
      if (same(await look(box, `${name}.${theme}`))) problems.push(`${theme}: ${what} would not be noticed`);
      await style.evaluate((e) => e.remove());
    }
  }
  for (const f of readdirSync(golden)) if (!seen.has(f)) problems.push(`${f}: there is no such component`);
  check(seen.size > 0, "the gallery has no components");
  console.log(`${seen.size} pictures, the worst differs by ${(100 * worst).toFixed(2)} %; ${changes.length} changes to the style are noticed in each theme`);
  check(problems.length === 0, `${problems.join("\n")}\nIf it should look so now: make gallery-pictures. See ${outDir}.`);
  witness.content();
} finally {
  await browser.close();
}
