// Uses the playground as a reader would, and prints what was seen as JSON: node e2e.mjs FOLDER CHROMIUM [PICTURES]

import { join } from "node:path";
import { chromium } from "playwright-core";
import { serve } from "./serve.mjs";

const [, , folder, executablePath, pictures] = process.argv;
const PATIENCE = Number(process.env.PATIENCE ?? 180) * 1000;
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

const server = await serve(folder);
const address = `http://127.0.0.1:${server.address().port}/`;
const browser = await chromium.launch({ executablePath, args: FLAGS });
const seen = { requests: [], complaints: [] };

async function opened(url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("request", (request) => !request.url().startsWith(address) && !/^(data|blob):/.test(request.url()) && seen.requests.push(request.url()));
  page.on("pageerror", (error) => seen.complaints.push(error.message));
  page.on("console", (message) => message.type() === "error" && seen.complaints.push(message.text()));
  await page.goto(url);
  return page;
}

const status = (page) => page.locator("#status").textContent();
const until = (page, pattern) => page.waitForFunction((source) => new RegExp(source).test(document.querySelector("#status").textContent), pattern.source);
const picture = async (page, name) => pictures && page.screenshot({ path: join(pictures, `${name}.png`) });

// Selects a piece of the text, as a reader would by the keys, and types over it.
async function typed(page, before, after) {
  const lines = await page.locator(".cm-content .cm-line").evaluateAll((all) => all.map((each) => {
    const copy = each.cloneNode(true);
    for (const inlay of copy.querySelectorAll(".cm-verdict")) inlay.remove();
    return copy.textContent;
  }));
  const line = lines.findIndex((each) => each.includes(before));
  if (line < 0) throw new Error(`no line has ${before}`);
  await page.locator(".cm-content .cm-line").nth(line).click();
  await page.keyboard.press("Home");
  await page.keyboard.press("Home");
  for (let i = 0; i < lines[line].indexOf(before); i++) await page.keyboard.press("ArrowRight");
  for (let i = 0; i < before.length; i++) await page.keyboard.press("Shift+ArrowRight");
  await page.keyboard.type(after);
}

// The ids of what the Tab key reaches, one after the other; the editor keeps it until Escape.
async function tabbed(page) {
  const found = [];
  for (let i = 0; i < 12; i++) {
    await page.keyboard.press("Escape");
    await page.keyboard.press("Tab");
    found.push(await page.evaluate(() => (document.activeElement.closest("#editor") ?? document.activeElement).id));
  }
  return found;
}

try {
  let page = await opened(address);
  await until(page, /gradient, proved/);
  seen.firstVerdict = await page.evaluate(() => performance.now());
  seen.inlay = await page.locator(".cm-verdict").allTextContents();
  seen.blocks = await page.locator(".block h3").evaluateAll((all) => all.map((head) => head.firstChild.textContent));
  seen.drawing = await page.locator("#drawing svg[role=img] title").first().textContent();
  seen.live = await page.locator("[aria-live=polite]").count();
  seen.unnamed = await page.locator("button, input, select, [role=textbox]").evaluateAll((all) =>
    all.filter((each) => !(each.labels?.length || each.ariaLabel || each.textContent.trim())).map((each) => each.outerHTML));
  seen.tabbed = await tabbed(page);
  await picture(page, "before");

  // A rule that is typed: what drives the credit is taken away, then comes back.
  await typed(page, "post.apical", "post.basal");
  await page.waitForFunction(() => !/W1: gradient, proved/.test(document.querySelector("#status").textContent));
  seen.withoutCredit = await status(page);
  await typed(page, "post.basal * ", "post.apical * ");
  await until(page, /W1: gradient, proved/);
  seen.typed = await status(page);

  // What a word means, and what may be written.
  await page.locator(".cm-line .tok-declared").filter({ hasText: "W1" }).hover();
  seen.hover = await page.locator(".cm-hover").textContent();
  await page.mouse.move(5, 5);
  await typed(page, "eta * gamma * w", "eta * gam");
  await page.locator(".cm-tooltip-autocomplete").waitFor();
  seen.completed = await page.locator(".cm-tooltip-autocomplete [role=option]").allTextContents();
  await picture(page, "completion");
  await page.keyboard.press("Enter");
  await page.keyboard.type(" * w");
  await until(page, /W1: gradient, proved/);

  // Locality is broken: the message stands at its place.
  await typed(page, "err * pre", "h * pre");
  await until(page, /^Line \d+/);
  seen.broken = await status(page);
  seen.inlayBroken = await page.locator(".cm-verdict").allTextContents();
  seen.squiggles = await page.locator(".cm-lintRange-error").allTextContents();
  await page.locator("#problem-list button").first().click();
  seen.cursorLine = await page.locator(".cm-activeLine").textContent();
  await picture(page, "broken");
  await page.locator("#problem-list .fix").first().click();
  await until(page, /does not hold/);
  seen.mended = await status(page);
  await typed(page, "pre * pre", "err * pre");
  await until(page, /W2: exact, proved/);

  // A run, by the keys alone.
  await page.mouse.move(5, 5);
  await page.locator("#run").focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.documentElement.dataset.trained !== undefined);
  seen.run = await page.locator("#run-status").textContent();
  seen.metric = Number(await page.evaluate(() => document.documentElement.dataset.trained));
  seen.curves = await page.locator("#curves svg[role=img]").evaluateAll((all) => all.map((svg) => svg.getAttribute("aria-label")));
  await page.evaluate(() => scrollTo(0, 0));
  await picture(page, "after");

  // Stop.
  await page.locator("#epochs").fill("10000");
  await page.locator("#run").click();
  await page.waitForFunction(() => /^Training: epoch [1-9]/.test(document.querySelector("#run-status").textContent));
  await page.locator("#stop").click();
  seen.stopped = await page.locator("#run-status").textContent();

  // What a page cannot draw.
  await page.locator("#epochs").fill("");
  await typed(page, "normal(0, 1/sqrt(fan_in))", "orthogonal()");
  await until(page, /gradient, proved/);
  await page.waitForFunction(() => document.documentElement.dataset.checked !== undefined && !document.querySelector("#run").disabled);
  await page.locator("#run").click();
  await page.waitForFunction(() => document.querySelector("#run-status").className === "wrong");
  seen.refused = await page.locator("#run-status").textContent();
  await typed(page, "orthogonal()", "normal(0, 1/sqrt(fan_in))");

  // The link, in a fresh page; a narrow and dark one.
  await typed(page, "param eta = ", "param eta = 0.01 + ");
  await until(page, /gradient, proved/);
  await page.locator("#share").click();
  await page.waitForFunction(() => location.hash.length > 1);
  const link = page.url();
  page = await opened(link, { viewport: { width: 390, height: 844 }, colorScheme: "dark", isMobile: true, hasTouch: true });
  await until(page, /gradient, proved/);
  seen.linked = await page.locator(".cm-content").textContent();
  seen.overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await picture(page, "phone-dark");
  await page.locator("#run").click();
  await page.waitForFunction(() => document.documentElement.dataset.trained !== undefined);
  await page.locator("#run-status").evaluate((part) => part.scrollIntoView({ block: "start" }));
  await picture(page, "phone-dark-after");
} catch (problem) {
  await picture(browser.contexts().at(-1).pages()[0], "failed");
  throw new Error(`${problem.message} after ${JSON.stringify(seen)}`);
} finally {
  await browser.close();
  server.close();
}
console.log(JSON.stringify(seen));
