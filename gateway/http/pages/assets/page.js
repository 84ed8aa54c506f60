// The payer's page: the keypad, one press, the wallet's bridge, and the watch over the order.
// What the bridge says is never believed: only the gateway's own answer changes the page.
(function () {
  "use strict";
  var byId = function (id) { return document.getElementById(id); };
  var status = byId("status");
  var say = function (text) { if (status && text && status.textContent !== text) status.textContent = text; };

  // --- amount -------------------------------------------------------------------------
  var amount = byId("amount"), pad = byId("pad");
  var isAmount = /^(?:0|[1-9][0-9]{0,9})?(?:\.[0-9]{0,2})?$/;
  function type(key) {
    var next = key === "back" ? amount.value.slice(0, -1) : amount.value + key;
    if (next === ".") next = "0.";
    if (/^0[0-9]$/.test(next)) next = next.slice(1);
    if (isAmount.test(next)) amount.value = next;
  }
  if (amount && pad) {
    // our own keypad instead of the phone's; a hardware keyboard and a screen reader still type
    if (window.matchMedia && window.matchMedia("(pointer: coarse)").matches) amount.inputMode = "none";
    pad.hidden = false;
    pad.addEventListener("click", function (event) {
      var key = event.target.getAttribute("data-key");
      if (key) type(key);
    });
    if (amount.getAttribute("aria-invalid")) amount.focus();
  }

  // --- one press ----------------------------------------------------------------------
  var form = byId("form"), press = byId("press"), label = press && press.textContent;
  if (form && press) {
    form.addEventListener("submit", function (event) {
      if (press.disabled) { event.preventDefault(); return; }
      press.disabled = true;
      press.textContent = press.getAttribute("data-working");
    });
    window.addEventListener("pageshow", function (event) { // back from the next page
      if (event.persisted) { press.disabled = false; press.textContent = label; }
    });
  }

  // --- the order ----------------------------------------------------------------------
  var order = byId("order");
  if (!order) return;
  var page = order.getAttribute("data-page"), watch = order.getAttribute("data-watch");
  var mark = order.getAttribute("data-mark"), bridge = order.getAttribute("data-bridge");
  var again = byId("again"), head = byId("head");
  // the page came as the answer to the press: a reload is to show the order, not to press again
  if (page && window.history.replaceState) window.history.replaceState(null, "", page);
  if (head) head.focus();

  var asked = false, failures = 0, began = Date.now(), timer = 0;
  function pause() {
    var age = Date.now() - began;
    var ms = document.body.getAttribute("data-state") === "asking" ? 3000 : age < 20000 ? 1000 : age < 120000 ? 2000 : 5000;
    return Math.min(15000, ms * Math.pow(2, Math.min(failures, 4)));
  }
  function later(ms) { clearTimeout(timer); timer = setTimeout(look, ms); }
  function look() {
    if (document.hidden) return; // looked at again when it is seen again
    var request = new XMLHttpRequest();
    request.open("GET", watch + (asked ? "&ask=1" : ""));
    request.timeout = 10000;
    request.onload = function () {
      var told = null;
      if (request.status === 200) { try { told = JSON.parse(request.responseText); } catch (ignored) { told = null; } }
      if (!told) { failed(); return; }
      failures = 0;
      if (told.mark !== mark || told.retry) { window.location.replace(page); return; }
      later(pause());
    };
    request.onerror = request.ontimeout = failed;
    request.send();
  }
  function failed() {
    failures += 1;
    if (failures > 1) say(status.getAttribute("data-offline"));
    later(pause());
  }
  if (watch) {
    later(pause());
    document.addEventListener("visibilitychange", function () { if (!document.hidden) later(0); });
    window.addEventListener("online", function () { failures = 0; later(0); });
  }

  // --- the wallet ---------------------------------------------------------------------
  if (!bridge) return;
  var parameters = JSON.parse(order.getAttribute("data-parameters"));
  function back(outcome) {
    if (outcome === "cancelled") { // the gateway asks the channel, and lets another wallet pay
      say(status.getAttribute("data-cancelled"));
      byId("give-up").form.submit();
      return;
    }
    asked = true; // it may be paid: have the channel asked
    again.hidden = false;
    later(0);
  }
  var open = {
    wechat: function () {
      window.WeixinJSBridge.invoke("getBrandWCPayRequest", parameters, function (result) {
        back(/:cancel$/.test(result && result.err_msg) ? "cancelled" : "done");
      });
    },
    alipay: function () {
      window.AlipayJSBridge.call("tradePay", parameters, function (result) {
        back(String(result && result.resultCode) === "6001" ? "cancelled" : "done");
      });
    },
    redirect: function () { again.hidden = false; window.location.assign(parameters.url); }
  }[bridge];
  var needs = { wechat: ["WeixinJSBridge", "WeixinJSBridgeReady"], alipay: ["AlipayJSBridge", "AlipayJSBridgeReady"] }[bridge];
  function pay() {
    if (!needs || window[needs[0]]) { open(); return; }
    var patience = setTimeout(function () {
      document.removeEventListener(needs[1], ready);
      say(status.getAttribute("data-no-bridge"));
      again.hidden = false;
    }, 8000);
    function ready() { document.removeEventListener(needs[1], ready); clearTimeout(patience); open(); }
    document.addEventListener(needs[1], ready);
  }
  again.addEventListener("click", pay);
  // by itself once for each order; after a reload the payer presses
  var opened = "opened " + page;
  var first = true;
  try { first = !window.sessionStorage.getItem(opened); window.sessionStorage.setItem(opened, "1"); } catch (ignored) { first = true; }
  if (first) pay(); else again.hidden = false;
}());
