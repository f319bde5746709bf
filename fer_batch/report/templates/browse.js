"use strict";
(function () {
  var PER_PAGE = 100, SHOWN_STAGES = 4, SHOWN_EPISODES = 3, SVG = "http://www.w3.org/2000/svg";
  var table = document.getElementById("rows");
  if (!table) { return; }
  var manifest = JSON.parse(document.getElementById("manifest").textContent);
  var starts = [0];
  manifest.chunks.forEach(function (n) { starts.push(starts[starts.length - 1] + n); });
  var total = starts[starts.length - 1];
  var chunks = [], waiting = {};
  var output = document.getElementById("shown"), pager = document.getElementById("pager");
  var note = document.getElementById("pattern"), search = document.getElementById("search");
  var selects = Array.prototype.slice.call(document.querySelectorAll("#filters select"));
  var state = {}, round = 0, timer = 0;

  window.ferRows = function (number, data) {
    chunks[number - 1] = data.rows.map(function (r) { return row(r, data.stages); });
    (waiting[number] || []).forEach(function (go) { go(); });
    delete waiting[number];
  };

  function row(r, names) {
    var stages = r[10].map(function (i) { return names[i]; });
    return {
      id: r[0], subject: r[1], emotion: r[2], status: r[3], reason: r[4], frames: r[5], missing: r[6],
      reduction: r[7], page: r[8], thumbnail: r[9], stages: stages, lengths: r[11], span: r[12],
      episodes: r[13] && r[13].map(function (e) {
        return { stages: e[0].map(function (i) { return names[i]; }), firsts: e[1], last: e[2], start: e[3], end: e[4] };
      }),
      state: r[3] !== "done" || r[5] ? r[3] : manifest.noFace, words: null, bare: null, targets: null
    };
  }

  function load(number, done) {
    if (chunks[number - 1]) { done(); return; }
    if (waiting[number]) { waiting[number].push(done); return; }
    waiting[number] = [done];
    var script = document.createElement("script");
    script.src = "data/sequences-" + number + ".js";
    script.onerror = function () {
      delete waiting[number];
      output.textContent = script.getAttribute("src") + " is not there: copy the whole folder of the report";
    };
    document.head.appendChild(script);
  }

  function labels(stage) { return stage === "(NONE)" ? [] : stage.slice(1, -1).split(", "); }

  function targets(item) {
    if (!item.targets) {
      item.targets = {};
      item.stages.forEach(function (stage) {
        labels(stage).forEach(function (label) { item.targets[label.replace(/_[A-Z]{1,3}$/, "")] = true; });
      });
    }
    return item.targets;
  }

  function contains(stages, pattern, kind) {
    var i, j;
    if (kind === "contiguous") {
      for (i = 0; i + pattern.length <= stages.length; i += 1) {
        for (j = 0; j < pattern.length && stages[i + j] === pattern[j]; j += 1) { /* as far as they agree */ }
        if (j === pattern.length) { return true; }
      }
      return false;
    }
    for (i = 0, j = 0; i < stages.length && j < pattern.length; i += 1) { if (stages[i] === pattern[j]) { j += 1; } }
    return j === pattern.length;
  }

  function has(item, pattern) {
    if (state.mined !== "episodes") { return contains(item.stages, pattern, state.kind); }
    return (item.episodes || []).some(function (episode) { return contains(episode.stages, pattern, state.kind); });
  }

  function bare(text) {
    return text.replace(/^\s*\(|\)\s*$/g, "").split(",").map(function (label) { return label.trim(); }).join(", ").toLowerCase();
  }

  // With an arrow a search asks for stages that follow each other: "S005 (NONE) -> (AU01_A, AU02_A) fear" has two words too.
  function parse(text) {
    var asked = { words: [], stages: [], whole: text.toLowerCase() }, pieces = text.split(/\s*(?:->|→)\s*/);
    var stage = "(?:\\([^()]*\\)?|[^\\s,;()]+(?:\\s*,\\s*[^\\s,;()]+)*)";
    if (pieces.length > 1) {
      pieces = pieces.map(function (piece, i) {
        piece = piece.replace(/(?:\band|…)\s+\d+ more$/, "");  // copied from a row that shows the beginning
        return piece.replace(new RegExp(i ? "^" + stage : stage + "$"), function (found) { asked.stages.push(bare(found)); return " "; });
      });
    }
    asked.words = pieces.join(" ").toLowerCase().split(/[\s,;]+/).filter(Boolean);
    return asked;
  }

  function matches(item, asked, pattern) {
    if (state.emotion && (item.emotion || manifest.noEmotion) !== state.emotion) { return false; }
    if (state.status && item.state !== state.status) { return false; }
    if (state.target && !targets(item)[state.target]) { return false; }
    if (state.prototype && item.stages.join(" -> ") !== state.prototype) { return false; }
    if (pattern && !has(item, pattern)) { return false; }
    if (!asked.words.length && !asked.stages.length) { return true; }
    if (item.words === null) {
      item.words = [item.id, item.subject, item.emotion, item.state, item.reason, item.stages.join(" ")].join(" ").toLowerCase();
      item.bare = [item.stages].concat((item.episodes || []).map(function (episode) { return episode.stages; }))
        .map(function (stages) { return stages.map(bare); });
    }
    if (item.words.indexOf(asked.whole) >= 0) { return true; }  // a name may hold an arrow
    var follow = item.bare.some(function (stages) { return contains(stages, asked.stages, "contiguous"); });
    return follow && asked.words.every(function (word) { return item.words.indexOf(word) >= 0; });
  }

  function filtered() { return !!(state.emotion || state.status || state.target || state.prototype || state.pattern || state.q); }

  function show() {
    var mine = (round += 1), at = Math.max(0, (state.page || 1) - 1) * PER_PAGE;
    note.hidden = !state.pattern;
    note.textContent = state.pattern ? "Sequences with the " + state.kind + " pattern " + (state.mined === "episodes" ? "in an episode " : "") + state.pattern.split(" -> ").join(" → ") : "";
    document.getElementById("reset").hidden = !filtered();
    if (filtered()) { find(mine, at); } else { plain(mine, at); }
  }

  function plain(mine, at) {
    var found = [];
    function next(number) {
      if (mine !== round) { return; }
      while (number <= manifest.chunks.length && starts[number] <= at) { number += 1; }
      if (number > manifest.chunks.length || starts[number - 1] >= at + PER_PAGE) { draw(found, at, total, true); return; }
      load(number, function () {
        var from = Math.max(0, at - starts[number - 1]);
        found = found.concat(chunks[number - 1].slice(from, at + PER_PAGE - starts[number - 1]));
        next(number + 1);
      });
    }
    next(1);
  }

  function find(mine, at) {
    var asked = parse(state.q || "");
    var pattern = state.pattern ? state.pattern.split(" -> ") : null;
    var found = [], count = 0;
    function next(number) {
      if (mine !== round) { return; }
      var last = number > manifest.chunks.length;
      if (last || (number > 1 && count >= at + PER_PAGE && number % 8 === 1)) { draw(found, at, count, last); }
      if (last) { return; }
      load(number, function () {
        if (mine !== round) { return; }
        chunks[number - 1].forEach(function (item) {
          if (!matches(item, asked, pattern)) { return; }
          if (count >= at && count < at + PER_PAGE) { found.push(item); }
          count += 1;
        });
        next(number + 1);
      });
    }
    next(1);
  }

  function make(name, text, kind) {
    var node = document.createElement(name);
    if (text !== undefined && text !== null) { node.textContent = text; }
    if (kind) { node.className = kind; }
    return node;
  }

  // What the bar shows, as shares of its width: steady stages of the episodes, or all stages where there are none.
  function pieces(item) {
    var found = [], span = item.span[1] - item.span[0] + 1, sum = 0, at = 0;
    if (item.episodes) {
      item.episodes.forEach(function (episode) {
        episode.stages.forEach(function (stage, i) {
          var first = episode.firsts[i], next = i + 1 < episode.firsts.length ? episode.firsts[i + 1] : episode.last + 1;
          found.push({ stage: stage, from: (first - item.span[0]) / span, to: (next - item.span[0]) / span });
        });
      });
      return found;
    }
    item.lengths.forEach(function (n) { sum += n; });
    item.stages.forEach(function (stage, i) {
      found.push({ stage: stage, from: at / sum, to: (at + item.lengths[i]) / sum });
      at += item.lengths[i];
    });
    return found;
  }

  // For each lane its pixels: the label that covers most of each, and how much of it any label covers.
  function pixels(found, lanes, n, width) {
    var cover = [], lane, x;
    for (lane = 0; lane < n; lane += 1) { cover.push([]); for (x = 0; x < width; x += 1) { cover[lane].push({}); } }
    found.forEach(function (piece) {
      var from = piece.from * width, to = Math.min(width, piece.to * width), x, here;
      labels(piece.stage).forEach(function (label) {
        var lane = lanes[label.replace(/_[A-Z]{1,3}$/, "")];
        if (lane === undefined) { return; }
        for (x = Math.floor(from); x < to; x += 1) {
          here = cover[lane][x];
          here[label] = (here[label] || 0) + Math.min(x + 1, to) - Math.max(x, from);
        }
      });
    });
    return cover.map(function (row) {
      return row.map(function (here) {
        var best = null, sum = 0;
        Object.keys(here).forEach(function (label) {
          sum += here[label];
          if (best === null || here[label] > here[best]) { best = label; }
        });
        return { label: best, share: Math.ceil(4 * Math.min(1, sum)) / 4 };
      });
    });
  }

  function strip(item) {
    var width = 220, height = 4, lanes = {}, order = [], top = item.episodes ? 4 : 0, found = pieces(item);
    Object.keys(targets(item)).sort().slice(0, 12).forEach(function (name) { lanes[name] = order.push(name) - 1; });
    var svg = document.createElementNS(SVG, "svg");
    var tall = top + Math.max(3, order.length) * (height + 1) + 1;
    svg.setAttribute("viewBox", "0 0 " + width + " " + tall);
    svg.setAttribute("width", width);
    svg.setAttribute("height", tall);
    svg.setAttribute("class", "mini");
    svg.setAttribute("aria-hidden", "true");
    function bar(left, y, wide, high, fill, share) {
      var rect = document.createElementNS(SVG, "rect");
      rect.setAttribute("x", left.toFixed(1));
      rect.setAttribute("y", y);
      rect.setAttribute("width", Math.max(0.6, wide).toFixed(1));
      rect.setAttribute("height", high);
      rect.setAttribute("fill", fill);
      if (share < 1) { rect.setAttribute("fill-opacity", share); }
      svg.appendChild(rect);
    }
    function colour(label) { return (manifest.colours[label] || ["#8b949e"])[0]; }
    bar(0, top, width, tall - top, "#f1f3f5", 1);
    (item.episodes || []).forEach(function (episode) {
      var span = item.span[1] - item.span[0] + 1, from = (episode.firsts[0] - item.span[0]) / span * width;
      bar(from, 0, (episode.last + 1 - episode.firsts[0]) / span * width - 0.5, 2, "#1f2328", 1);
    });
    if (found.length <= 100) {
      found.forEach(function (piece) {
        labels(piece.stage).forEach(function (label) {
          var lane = lanes[label.replace(/_[A-Z]{1,3}$/, "")];
          if (lane !== undefined) {
            bar(piece.from * width, top + 1 + lane * (height + 1), (piece.to - piece.from) * width, height, colour(label), 1);
          }
        });
      });
      return svg;
    }
    pixels(found, lanes, order.length, width).forEach(function (row, lane) {
      var x = 0, end;
      while (x < width) {
        end = x + 1;
        while (end < width && row[end].label === row[x].label && row[end].share === row[x].share) { end += 1; }
        if (row[x].label !== null) { bar(x, top + 1 + lane * (height + 1), end - x, height, colour(row[x].label), row[x].share); }
        x = end;
      }
    });
    return svg;
  }

  function stageList(parent, stages, shown) {
    stages.slice(0, shown).forEach(function (stage, i) {
      if (i) { parent.appendChild(make("span", " → ", "to")); }
      parent.appendChild(make("span", stage, stage === "(NONE)" ? "stage none" : "stage"));
    });
    if (stages.length > shown) { parent.appendChild(make("em", " and " + (stages.length - shown) + " more")); }
  }

  function episodeList(cell, item) {
    var list = make("ol", null, "episodes");
    item.episodes.slice(0, SHOWN_EPISODES).forEach(function (episode) {
      var one = make("li");
      var when = episode.start === null ? "frames " + episode.firsts[0] + "–" + episode.last
        : episode.start.toFixed(1) + "–" + episode.end.toFixed(1) + " s";
      one.appendChild(make("small", when + " "));
      stageList(one, episode.stages, SHOWN_STAGES);
      list.appendChild(one);
    });
    cell.appendChild(list);
    var more = item.episodes.length - SHOWN_EPISODES;
    if (more > 0) { cell.appendChild(make("em", "and " + more + (more === 1 ? " more episode" : " more episodes"))); }
    if (!item.episodes.length) { cell.appendChild(make("em", "no episode: nothing begins and ends")); }
  }

  function prototypeCell(item) {
    var cell = make("td", null, "prototype");
    if (item.status === "partial") {
      cell.appendChild(make("small", "partial: " + (item.reason || "–"), "failed"));
      cell.appendChild(document.createTextNode(" "));
    } else if (item.status !== "done") {
      cell.appendChild(make("span", item.status, item.status === "failed" ? "failed" : "skipped"));
      cell.appendChild(document.createTextNode(": " + (item.reason || "–")));
      return cell;
    }
    if (!item.frames) { cell.appendChild(make("em", manifest.noFace)); return cell; }
    if (item.episodes) { episodeList(cell, item); } else { stageList(cell, item.stages, SHOWN_STAGES); }
    return cell;
  }

  function counted(item) {
    var stages = item.stages.length + (item.stages.length === 1 ? " stage" : " stages");
    if (!item.episodes) { return stages; }
    return item.episodes.length + (item.episodes.length === 1 ? " episode, " : " episodes, ") + stages;
  }

  function line(item) {
    var tr = make("tr"), name = make("th"), pictures = make("td"), link;
    name.scope = "row";
    if (item.page) { link = make("a"); link.href = item.page; link.appendChild(make("bdi", item.id)); name.appendChild(link); }
    else { name.appendChild(make("bdi", item.id)); }
    if (item.subject) { name.appendChild(make("small", "subject " + item.subject)); }
    if (item.thumbnail) {
      var img = make("img", null, "thumbnail");
      img.loading = "lazy"; img.alt = ""; img.height = 48;
      img.src = item.thumbnail;
      pictures.appendChild(img);
    }
    if (item.frames && item.stages.length) {
      pictures.appendChild(strip(item));
      pictures.appendChild(make("small", counted(item)));
    }
    tr.appendChild(name);
    tr.appendChild(pictures);
    tr.appendChild(make("td", item.emotion || "–"));
    tr.appendChild(prototypeCell(item));
    tr.appendChild(make("td", item.frames + (item.missing ? " + " + item.missing : "")));
    tr.appendChild(make("td", item.reduction === null ? "–" : Math.round(100 * item.reduction) + " %"));
    return tr;
  }

  function draw(items, at, count, complete) {
    if (at && !items.length && count) { change("page", 0, true); return; }  // an address from before the filter
    var body = document.createElement("tbody");
    items.forEach(function (item) { body.appendChild(line(item)); });
    table.replaceChild(body, table.tBodies[0]);
    output.textContent = (count === total ? total : count + (complete ? "" : " or more") + " of " + total) + (total === 1 ? " sequence" : " sequences");
    var pages = Math.ceil(count / PER_PAGE), here = at / PER_PAGE + 1;
    pager.textContent = "";
    pager.hidden = pages < 2;
    if (pages < 2) { return; }
    turn("← previous", here - 1, here > 1);
    pager.appendChild(make("span", "page " + here + " of " + pages + (complete ? "" : " or more")));
    turn("next →", here + 1, here < pages);
  }

  function turn(text, number, possible) {
    var button = make("button", text);
    button.type = "button";
    button.disabled = !possible;
    button.addEventListener("click", function () { change("page", number > 1 ? number : 0, true); });
    pager.appendChild(button);
  }

  function change(name, value, keep) {
    state[name] = value;
    if (!keep) { state.page = 0; }
    write();
    show();
  }

  function write() {
    var parts = Object.keys(state).filter(function (name) { return state[name]; }).map(function (name) {
      return name + "=" + encodeURIComponent(state[name]);
    });
    history.replaceState(null, "", parts.length ? "#" + parts.join("&") : location.href.split("#")[0]);
  }

  function read() {
    state = { kind: "contiguous" };
    location.hash.slice(1).split("&").forEach(function (part) {
      var at = part.indexOf("=");
      if (at > 0) { try { state[part.slice(0, at)] = decodeURIComponent(part.slice(at + 1)); } catch (error) { /* no filter of ours */ } }
    });
    state.page = parseInt(state.page, 10) || 0;
    if (!state.pattern) { delete state.kind; delete state.mined; }
    selects.forEach(function (select) {
      var wanted = state[select.name] || "";
      select.value = wanted;
      if (wanted && select.value !== wanted) {  // a rarer prototype than those to choose from
        var option = make("option", wanted);
        option.value = wanted;
        select.appendChild(option);
        select.value = wanted;
      }
    });
    search.value = state.q || "";
  }

  selects.forEach(function (select) { select.addEventListener("change", function () { change(select.name, select.value); }); });
  search.addEventListener("input", function () {
    clearTimeout(timer);
    timer = setTimeout(function () { change("q", search.value.trim()); }, 120);
  });
  document.getElementById("reset").addEventListener("click", function () {
    state = {};
    write();
    read();
    show();
  });
  window.addEventListener("hashchange", function () { read(); show(); });
  document.getElementById("browse").hidden = false;
  read();
  show();
})();
