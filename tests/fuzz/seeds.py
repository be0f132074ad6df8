# ruff: noqa: E501, ISC004
"""A few sound inputs for each target: where a fuzzer begins. A client's first byte says how it is cut in pieces."""

from pathlib import Path

from hlposmon.snapshot.layout import BLOCK_BYTES

HANDSHAKE = (
    b"GET /api/v1/positions/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
FILL = (
    b'{"coin":"BTC","px":"86324.0","sz":"0.00494","side":"B","time":1791171591707,"startPosition":"-2.3",'
    b'"dir":"Close Short","closedPnl":"1.2","hash":"0xa2cb","oid":565,"crossed":false,"fee":"-0.004",'
    b'"tid":348,"feeToken":"USDC","liquidation":{"liquidatedUser":"0x' + b"ab" * 20 + b'","method":"market"}}'
)
NOISY = FILL.replace(b'"-2.3"', b'"-3695042.8999999999"').replace(b'"0.00494"', b'"1064075.6000000001"')
STATE = (
    b'{"marginSummary":{"accountValue":"76.2","totalMarginUsed":"18.5","totalRawUsd":"-5.1"},"withdrawable":'
    b'"57.6","assetPositions":[{"type":"oneWay","position":{"coin":"HYPE","szi":"-4.0","leverage":{"type":'
    b'"isolated","value":10,"rawUsd":"211.1"},"entryPx":"47.9","positionValue":"192.5","unrealizedPnl":"-0.6",'
    b'"liquidationPx":"50.2","marginUsed":"18.5","maxLeverage":10}}],"time":1761803589961}'
)
OF_XYZ = STATE.replace(b'"HYPE"', b'"xyz:TSLA"')
EVENT = (
    b'{"users":["0xab"],"time":1,"delta":{"type":"withdraw","usdc":"1.0","nonce":1,"fee":"1.0"},"hash":"0x"}'
)
SPOT = (
    b'{"balances":[{"coin":"USDC","token":0,"total":"7678466.9041772699","hold":"-0.5","entryNtl":"0.0"},'
    b'{"coin":"HYPE","token":150,"total":"0.24965","hold":"0.2","entryNtl":"24.982487"}]}'
)
SPOT_META = (
    b'{"tokens":[{"name":"USDC","index":0},{"name":"HYPE","index":150}],'
    b'"universe":[{"name":"@107","tokens":[150,0],"index":107}]}'
)
PAID = b'{"time":1,"coin":"BTC","usdc":"-0.1","szi":"1.0","fundingRate":"0.0001"}'
GET = b"\x0fGET /api/v1/positions/summary?account=main&x=%00 HTTP/1.1\r\nHost: localhost\r\n"
MASKED = b"\x0f\x81\x93\x01\x02\x03\x04" + bytes(
    byte ^ (1 + index % 4) for index, byte in enumerate(b'{"action": "ping"} ')
)
SEEDS: dict[str, tuple[bytes, ...]] = {
    "http": (
        GET + b"\r\n",
        GET + b"Content-Length: 3\r\n\r\nabc",
        b"\x03" + b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 20,
        b"\x0fPOST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: x\r\n\r\n",
        b"\x0f" + HANDSHAKE + MASKED[1:],
        # Found by the fuzzer: a handshake in HTTP/1.0, which needs no Host.
        b"\x0f" + HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Host: localhost\r\n", b""),
        b"\x0fGET http://x/api/v1/workers HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n",
    ),
    "http_tcp": (
        GET + b"Origin: http://localhost:3000\r\nSec-Fetch-Site: cross-site\r\n\r\n",
        b"\x0fOPTIONS /metrics HTTP/1.1\r\nHost: [::1]:80\r\nOrigin: http://localhost:3000\r\n"
        b"Access-Control-Request-Method: GET\r\n\r\n",
    ),
    "frames": (
        MASKED,
        b"\x0f\x01\x81\0\0\0\0a\x80\x81\0\0\0\0b\x89\x81\0\0\0\0p\x88\x82\0\0\0\0\x03\xe8",
        b"\x0f\x82\xfe\x01\0\0\0\0\0" + b"x" * 256,
    ),
    "stream": (
        b'\x81\x02{}\x89\x01p\x01\x01{\x80\x01}\x88\x02\x03\xe8',
        b'\x81\x7e\x00\x80{"type": "fill", "x": "' + b"y" * 103 + b'"}',
        b'\x88\x05\x03\xf5slo',
    ),
    "answer": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b'HTTP/1.0 404 x\r\n\r\n{"error": {"code": 1}}',
    ),
    "venue": (
        b'{"channel":"userFills","data":{"user":"0xab","fills":[' + FILL + b"]}}",
        b"[" + FILL + b"," + FILL.replace(b'"BTC"', b'"xyz:TSLA"') + b"]",
        STATE,
        b"[" + EVENT + b"]",
        b"[" + PAID + b"," + PAID.replace(b'"BTC"', b'"xyz:TSLA"') + b"]",
        b'{"channel":"error","data":"Already subscribed: {\\"type\\":\\"userFills\\",\\"user\\":\\"0xab\\"}"}',
        b'{"channel":"error","data":"Error parsing JSON into valid websocket request: {\\"method\\":\\"subscribe\\",'
        b'\\"subscription\\":{\\"type\\":\\"webData9\\",\\"user\\":\\"0xab\\"}}"}',
        b'{"channel":"allMids","data":{"mids":{"BTC":"1.5"}}}',
        b'{"role":"agent","data":{"user":"0xab"}}',
        b"[" + FILL.replace(b'"px":"86324.0"', b'"px":86324.0') + b"," + FILL + b"," + NOISY + b"]",
        b'{"channel":"allDexsClearinghouseState","data":{"user":"0xab","clearinghouseStates":[["",' + STATE
        + b'],["xyz",' + OF_XYZ + b"]]}}",
        SPOT,
        b'{"channel":"spotState","data":{"user":"0xab","spotState":' + SPOT + b"}}",
        SPOT_META,
        b"[" + SPOT_META + b',[{"coin":"@107","markPx":"33.21"}]]',
        b'[{"address":"0xab","name":"bot","validUntil":1791171591707}]',
        b'[null,{"name":"xyz","oracleUpdater":null},{"name":"flx"}]',
        b'{"channel":"fastAssetCtxs","data":"q1ZyCnFWslKoVspNLMoOqAAylSzMDAwM9EyVdBSUcjNTEGKGSrVAoYrKKitHNB1GYBnXEA9UcUM909paAA=="}',
        b'{"time":1,"specialStatuses":null}',
        b'"portfolioMargin"',
        b'{"channel":"clearinghouseState","data":{"dex":"","user":"0xab","clearinghouseState":' + STATE + b"}}",
        b'{"channel":"userFundings","data":{"user":"0xab","isSnapshot":true,"fundings":[' + PAID + b"]}}",
        b"null",
        OF_XYZ,
    ),
    "record": (b"\0" * BLOCK_BYTES,),
    "snapshot": (b"\0" * (2 * BLOCK_BYTES),),
    "toml": (
        b'[[venues.hyperliquid.accounts]]\nname = "main"\naddress = "0x' + b"ab" * 20 + b'"\n[tcp]\nlisten = "[::1]:1"\n'
        b'allowed_hosts = ["a:1"]\n[prices]\ninterval_s = 1.5\n[stream]\nmin_pnl_change = "0.01"\n',
        Path("etc/hlposmon.toml").read_bytes() if Path("etc/hlposmon.toml").exists() else b"",
    ),
    "datagram": (
        b'["fills","main","fill",[["main","hyperliquid:Perp:BTC",1,"buy","1","2","0","0","USDC","0",1,2,"0x","Open",'
        b"true,null]],1.5]",
        b'["statement","main","hyperliquid",1,1.0,[["k","1","2","3","4","5",null,"0"]],"1","2","3",1,false,{"j":"why"}]',
        b'["bell","main",1,"feed"]',
        b'["marks",1.0,{"hyperliquid:Perp:BTC":"1"},["other"]]',
        b'["notice","main","unknown_address","why","reconcile"]',
        b'["statement","main","hyperliquid",1,1.0,[["hyperliquid:BaseToken:HYPE","1","2",null,null,null,null,"0","0.5"]]'
        b',null,null,null,null,true,{},"spot"]',
        b'["place read","main","spot",[]]',
        b'["traded on spot","main",["@107"]]',
        b'["welcome",{"main":1},{"main":"default"},{"main":["user",null]}]',
        b'["following","main","fill-1",1.5,null]',
        b'["fetched","main",1,1.5]',
        b'["not fetched","main","why"]',
        b'["mode","main",null,false,"why"]',
        b'["role","main","agent","0xab"]',
        b'["live","main",1,1.5]',
        b'["statements wanted","main",["xyz","flx"]]',
        b'["place read","main","dexes",["flx"],1761803589961,1.5]',
    ),
    "line": (b'{"seq":1,"timestamp":"x","type":"start","prev":"' + b"0" * 64 + b'","hash":"' + b"0" * 64 + b'"}\n',),
}  # fmt: skip
