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
const seen = { requests: [], complaints: [], seconds: {} };

// What is being done: a failure names it, and `seconds` has how long each took.
const began = { step: null, at: 0 };
function step(name) {
  if (began.step !== null) seen.seconds[began.step] = Math.round((performance.now() - began.at) / 100) / 10;
  Object.assign(began, { step: name, at: performance.now() });
}

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
// Waits until the text as it stands is checked, and the status says so: what it said of an earlier text does not count.
const until = (page, pattern) => page.waitForFunction((source) =>
  document.documentElement.dataset.checked !== undefined && new RegExp(source).test(document.querySelector("#status").textContent), pattern.source);
const OFFERED = ".cm-tooltip-autocomplete:not(.cm-tooltip-autocomplete-disabled)";
const picture = async (page, name) => pictures && page.screenshot({ path: join(pictures, `${name}.png`) });

// Selects a piece of the text, as a reader would by the keys, and types over it.
async function typed(page, before, after) {
  await page.keyboard.press("Escape"); // a list of completions, and what hovers, would lie over the line
  await page.mouse.move(5, 5);
  const lines = await page.locator(".cm-content .cm-line").evaluateAll((all) => all.map((each) => {
    const copy = each.cloneNode(true);
    for (const inlay of copy.querySelectorAll(".cm-verdict")) inlay.remove();
    return copy.textContent;
  }));
  const line = lines.findIndex((each) => each.includes(before));
  if (line < 0) throw new Error(`no line has ${before}`);
  await page.locator(".cm-content .cm-line").nth(line).click();
  await page.mouse.move(5, 5);
  await page.keyboard.press("Home");
  await page.keyboard.press("Home");
  for (let i = 0; i < lines[line].indexOf(before); i++) await page.keyboard.press("ArrowRight");
  for (let i = 0; i < before.length; i++) await page.keyboard.press("Shift+ArrowRight");
  await page.keyboard.type(after);
}

// Takes what is offered first. A list takes keys when it is not about to be filled anew, and has been there for a while
// (CodeMirror's `interactionDelay`, 75 ms): an Enter before that breaks the line.
async function accepted(page) {
  await page.waitForTimeout(150);
  await page.locator(`${OFFERED} [aria-selected=true]`).waitFor();
  await page.keyboard.press("Enter");
  await page.locator(".cm-tooltip-autocomplete").waitFor({ state: "hidden" });
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
  step("load");
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

  step("type a rule: what drives the credit is taken away, then comes back");
  await typed(page, "post.apical", "post.basal");
  await until(page, /W1: none/);
  seen.withoutCredit = await status(page);
  await typed(page, "post.basal * ", "post.apical * ");
  await until(page, /W1: gradient, proved/);
  seen.typed = await status(page);

  step("what a word means");
  await page.locator(".cm-line .tok-declared").filter({ hasText: "W1" }).hover();
  seen.hover = await page.locator(".cm-hover").textContent();
  step("what may be written");
  await typed(page, "eta * gamma * w", "eta * gam");
  await page.locator(`${OFFERED} [role=option]`).first().waitFor();
  seen.completed = await page.locator(".cm-tooltip-autocomplete [role=option]").allTextContents();
  await picture(page, "completion");
  await accepted(page);
  await page.keyboard.type(" * w");
  await until(page, /W1: gradient, proved/);

  step("break locality: the message stands at its place");
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

  step("run, by the keys alone");
  await page.locator("#epochs").focus();
  await page.keyboard.type("15");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.documentElement.dataset.trained !== undefined);
  seen.run = await page.locator("#run-status").textContent();
  seen.metric = Number(await page.evaluate(() => document.documentElement.dataset.trained));
  seen.curves = await page.locator("#curves svg[role=img]").evaluateAll((all) => all.map((svg) => svg.getAttribute("aria-label")));
  await page.evaluate(() => scrollTo(0, 0));
  await picture(page, "after");

  step("stop");
  await page.locator("#epochs").fill("10000");
  await page.locator("#run").click();
  await page.waitForFunction(() => /^Training: epoch [1-9]/.test(document.querySelector("#run-status").textContent));
  await page.locator("#stop").click();
  seen.stopped = await page.locator("#run-status").textContent();

  step("what a page cannot draw");
  await page.locator("#epochs").fill("");
  await typed(page, "normal(0, 1/sqrt(fan_in))", "orthogonal()");
  await until(page, /gradient, proved/);
  await page.locator("#run").click();
  await page.waitForFunction(() => document.querySelector("#run-status").className === "wrong");
  seen.refused = await page.locator("#run-status").textContent();
  await typed(page, "orthogonal()", "normal(0, 1/sqrt(fan_in))");

  step("copy the link");
  await typed(page, "param eta = ", "param eta = 0.01 + ");
  await until(page, /gradient, proved/);
  await page.locator("#share").click();
  await page.waitForFunction(() => location.hash.length > 1);
  const link = page.url();
  step("open the link in a fresh page, narrow and dark");
  page = await opened(link, { viewport: { width: 390, height: 844 }, colorScheme: "dark", isMobile: true, hasTouch: true });
  await until(page, /gradient, proved/);
  seen.linked = await page.locator(".cm-content").textContent();
  seen.overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  await picture(page, "phone-dark");
  if (pictures) {
    step("run on the phone");
    await page.locator("#run").click();
    await page.waitForFunction(() => document.documentElement.dataset.trained !== undefined);
    await page.locator("#run-status").evaluate((part) => part.scrollIntoView({ block: "start" }));
    await picture(page, "phone-dark-after");
  }
  step(null);
} catch (problem) {
  await picture(browser.contexts().at(-1).pages()[0], "failed");
  throw new Error(`at the step "${began.step}": ${problem.message} after ${JSON.stringify(seen)}`);
} finally {
  await browser.close();
  server.close();
}
console.log(JSON.stringify(seen));
