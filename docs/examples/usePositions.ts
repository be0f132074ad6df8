/** The monitor's picture in a React component: `const picture = usePositions("ws://127.0.0.1:8000")`. */
import { useEffect, useState } from "react";

import { follow, NOTHING, type Connect, type Picture } from "./follow.js";

/** `connect` must be the same function at every render: define it outside of the component. */
export function usePositions(base: string, connect?: Connect): Picture {
  const [picture, setPicture] = useState<Picture>(NOTHING);
  useEffect(() => {
    setPicture(NOTHING);
    return follow(base, setPicture, connect);
  }, [base, connect]);
  return picture;
}
