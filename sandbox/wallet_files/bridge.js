// What an app puts into the pages that it opens: its JS bridge, and the box that asks for the
// payer's password. The same file serves the app's own screens (data-wallet-… on <body>).
//
// The box asks what the payer does, because a simulated payer must be able to do each of it:
// pay, pay later, be refused, lose the connection after paying, close the box too early.
(() => {
  "use strict";
  const app = "__APP__";
  if (window.posgateWallet) return;
  Object.defineProperty(Navigator.prototype, "userAgent", {
    get: () => "__USER_AGENT__",
    configurable: true,
  });
  const isChinese = !/^en/i.test(navigator.language || "");
  const say = (en, zh) => (isChinese ? zh : en);
  const names = {
    wechat: say("WeChat Pay", "微信支付"),
    alipay: say("Alipay", "支付宝"),
    unionpay: say("UnionPay", "云闪付"),
  };
  const colours = { wechat: "#07803b", alipay: "#1060d0", unionpay: "#c11d1d" };
  const acts = {
    pays: say("pays", "支付"),
    pays_later: say("pays, and it takes some seconds", "支付，但需要几秒钟"),
    refused: say("is refused by the bank", "被银行拒绝"),
    lost: say("pays, then loses the connection", "支付后网络中断"),
    crossed: say("pays, though the order was closed meanwhile", "支付，即使订单已被关闭"),
    early: say("closes the box too early, and it is paid all the same", "过早关闭窗口，但仍完成支付"),
  };
  const style = `
    :host { all: initial; }
    .veil { position: fixed; inset: 0; z-index: 2147483647; display: flex; align-items: flex-end;
      justify-content: center; background: rgb(0 0 0 / 55%); font: 16px/1.4 system-ui, sans-serif; }
    .box { box-sizing: border-box; width: 100%; max-width: 26rem; padding: 1.2rem; background: #fff;
      color: #1a1a1a; border-radius: .8rem .8rem 0 0; }
    h2 { margin: 0 0 .2rem; font-size: 1rem; } p { margin: .3rem 0; }
    .amount { font-size: 2rem; font-weight: 600; }
    label { display: block; margin-top: .6rem; font-size: .9rem; }
    input, select { box-sizing: border-box; width: 100%; padding: .6rem; font: inherit; }
    button { box-sizing: border-box; width: 100%; margin-top: .7rem; padding: .8rem; border: 0;
      border-radius: .4rem; font: inherit; background: #eee; color: #1a1a1a; }
    button.pay { background: ${colours[app]}; color: #fff; }
    .why { color: #b00020; min-height: 1.4em; }`;

  const ask = async (act, body) => {
    const answer = await fetch(`/.wallet/${app}/${act}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    return answer.json();
  };
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const element = (tag, words = {}, ...inside) => {
    const made = Object.assign(document.createElement(tag), words);
    made.append(...inside);
    return made;
  };

  // The box on the screen; what it shows is replaced as the payment goes on.
  const openBox = () => {
    const host = element("div", { id: "posgate-wallet" });
    const root = host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style);
    root.adoptedStyleSheets = [sheet];
    const box = element("div", { className: "box" });
    box.setAttribute("role", "dialog");
    box.setAttribute("aria-modal", "true");
    box.setAttribute("aria-label", names[app]);
    root.append(element("div", { className: "veil" }, box));
    document.documentElement.append(host);
    return {
      show: (...content) => box.replaceChildren(element("h2", { textContent: names[app] }), ...content),
      close: () => host.remove(),
    };
  };

  const pressed = (button) => new Promise((done) => button.addEventListener("click", () => done(), { once: true }));

  // Something the payer can only take note of.
  const tell = async (box, words) => {
    const button = element("button", { id: "wallet-close", textContent: say("Close", "关闭") });
    box.show(element("p", { className: "why", role: "alert", textContent: words }), button);
    button.focus();
    await pressed(button);
  };

  // Resolves to paid, later, refused, cancelled, lost or early.
  const cashier = async (order) => {
    const box = openBox();
    try {
      const shown = await ask("open", order);
      if (shown.why) {
        await tell(box, say("This cannot be paid: ", "无法支付：") + shown.why);
        return "refused";
      }
      return await typed(box, order, shown);
    } catch {
      await tell(box, say("No connection.", "网络连接失败。"));
      return "refused";
    } finally {
      box.close();
    }
  };

  const typed = async (box, order, shown) => {
    const password = element("input", {
      id: "wallet-password", type: "password", inputMode: "numeric", maxLength: 6, autocomplete: "off",
    });
    const choice = element("select", { id: "wallet-act" },
      ...Object.entries(acts).map(([value, textContent]) => element("option", { value, textContent })));
    const why = element("p", { className: "why", id: "wallet-why", role: "alert" });
    const pay = element("button", { id: "wallet-pay", className: "pay", textContent: say("Pay", "确认支付") });
    const cancel = element("button", { id: "wallet-cancel", textContent: say("Cancel", "取消") });
    const amount = `¥${Math.floor(shown.amount_fen / 100)}.${String(shown.amount_fen % 100).padStart(2, "0")}`;
    box.show(
      element("p", { id: "wallet-subject", textContent: shown.subject }),
      element("p", { className: "amount", id: "wallet-amount", textContent: amount }),
      element("label", { htmlFor: "wallet-password", textContent: say("Password (123456)", "支付密码（123456）") }),
      password,
      element("label", { htmlFor: "wallet-act", textContent: say("The payer …", "付款人……") }),
      choice, why, pay, cancel,
    );
    password.focus();
    for (;;) {
      const isPaying = await Promise.race([pressed(pay).then(() => true), pressed(cancel).then(() => false)]);
      if (!isPaying) return "cancelled";
      const act = choice.value;
      const told = await ask("pay", {
        ...order, password: password.value, act: act === "lost" || act === "early" ? "pays" : act,
      });
      if (told.outcome === "wrong_password") {
        why.textContent = say("Wrong password.", "密码错误。");
        password.value = "";
        password.focus();
        continue;
      }
      if (told.outcome === "refused") {
        await tell(box, say("Refused: ", "支付失败：") + told.why);
        return "refused";
      }
      if (act === "lost" || act === "early") return act;
      if (told.outcome === "later") await atWork(box, told.after_ms);
      return told.outcome;
    }
  };

  // Alipay tells the page at once that it is at work; the others come back when it is done.
  const atWork = async (box, afterMs) => {
    box.show(element("p", { role: "status", textContent: say("Your bank is working on it …", "银行处理中……") }));
    if (app !== "alipay") await wait(afterMs);
  };

  const bridges = {
    wechat: () => {
      const end = {
        paid: "ok", later: "ok", refused: "fail", cancelled: "cancel", early: "cancel",
      };
      window.WeixinJSBridge = {
        invoke: async (name, words, done = () => {}) => {
          if (name !== "getBrandWCPayRequest") return done({ err_msg: `${name}:fail` });
          const came = await cashier({ page: words });
          if (came in end) done({ err_msg: `get_brand_wcpay_request:${end[came]}` });
        },
        call: (name) => name === "closeWindow" && location.assign("about:blank"),
        on: () => {},
      };
      document.dispatchEvent(new Event("WeixinJSBridgeReady"));
    },
    alipay: () => {
      const end = { paid: "9000", later: "8000", refused: "4000", cancelled: "6001", early: "6001" };
      window.AlipayJSBridge = {
        call: async (name, words, done = () => {}) => {
          if (/^(exitApp|closeWebview|popWindow)$/.test(name)) return location.assign("about:blank");
          if (name !== "tradePay") return done({ error: 1 });
          const came = await cashier({ order: String(words.tradeNO) });
          if (came in end) done({ resultCode: end[came] });
        },
      };
      document.dispatchEvent(new Event("AlipayJSBridgeReady"));
    },
    unionpay: () => {},
  };

  // The app's own screens: a scanned code, or UnionPay's cashier, which sends the payer back.
  const ownScreen = async ({ walletCode, walletOrder, walletBack, walletFront }) => {
    const came = await cashier(walletCode ? { code: walletCode } : { order: walletOrder });
    if (came === "lost") return;
    if (walletFront === undefined || (came !== "paid" && came !== "later")) {
      location.assign(walletBack);
      return;
    }
    const { url, form } = await ask("front", { order: walletOrder });
    const sent = element("form", { method: "post", action: url, hidden: true },
      ...Object.entries(form).map(([name, value]) => element("input", { name, value })));
    document.body.append(sent);
    sent.submit();
  };

  window.posgateWallet = { cashier };
  const begin = () => {
    const own = document.body.dataset;
    if (own.walletCode || own.walletOrder) ownScreen(own);
    // A real app is not there at once, and pages must wait for it.
    setTimeout(bridges[app], 150);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
