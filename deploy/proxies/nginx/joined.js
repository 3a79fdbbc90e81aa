// For nginx before 1.23, which reads the first baggage line only. Needs njs
// (Debian: libnginx-mod-http-js). In http {}, after `include deploymark.conf;`:
//   js_import deploymark from joined.js;
//   js_set $deploymark_lines deploymark.joined;
function joined(request) {
    return request.rawHeadersIn
        .filter((line) => line[0].toLowerCase() === 'baggage')
        .map((line) => line[1])
        .join(',');
}

export default { joined };
